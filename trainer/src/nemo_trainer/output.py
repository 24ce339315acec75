# SPDX-License-Identifier: Apache-2.0
"""What a job leaves: the adapter as a standard PEFT repository, or a whole model as transformers writes it. Embedding
models are as sentence-transformers reads them, too."""

import json
import os
import shutil
from typing import Any

import torch
from peft import set_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoConfig

from .job import Job
from .model import Tuned, add_adapter, load_base

CARD = """---
base_model: {base}
library_name: {library}
pipeline_tag: {pipeline}
tags:
- {finetuning}
- {training}
---

# {title}

Made by {how} with the open NeMo Microservices.

| | |
|---|---|
{rank_row}| rows trained on, validated on | {rows}, {validation_rows} |
| epochs, global batch, steps | {epochs}, {batch}, {steps} |
| learning rate, seed | {rate:g}, {seed} |
| training loss, validation loss | {train_loss}, {val_loss} |

```python
{code}
```
"""
ADAPTER_CODE = """from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("path/to/{name}")
model = PeftModel.from_pretrained(base, "path/to/this/repository")"""
WHOLE_CODE = """from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("path/to/this/repository")"""
SENTENCE_CODE = """from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/repository")
vectors = model.encode(["a query", "a document"])"""
HOW_EMBEDDING = "contrastive fine-tuning (each query finds its document among those of its batch)"
HOW = {
    "sft": "supervised fine-tuning (loss on the completions only)",
    "dpo": "direct preference optimisation",
}
TITLES = {
    "lora": "LoRA adapter for {base}",
    "lora_merged": "{base}, tuned with LoRA and merged",
    "all_weights": "{base}, tuned in all weights",
}


def write_output(
    folder: str, tuned: Tuned, weights: dict[str, torch.Tensor], job: Job, tokenizer: Any, facts: dict[str, object]
) -> None:
    """Writes `folder` whole: beside it first, then renamed. `facts` fills the model card."""
    tmp = folder + ".tmp"
    shutil.rmtree(tmp, ignore_errors=True)
    os.makedirs(tmp)
    targets: list[str] = []
    if hasattr(tuned.model, "peft_config"):
        targets = sorted(tuned.model.peft_config["default"].target_modules)
    kind = job.hyperparameters.finetuning_type
    write = _write_encoder if job.task == "embedding" else _write_whole
    if kind == "lora":
        _write_adapter(tmp, tuned, weights, job)
    elif kind == "lora_merged":
        write(tmp, _merged(tuned, weights, job), job, tokenizer)
    else:
        tuned.load(weights)
        write(tmp, tuned.model, job, tokenizer)
    with open(os.path.join(tmp, "README.md"), "w", encoding="utf-8") as file:
        file.write(card(job, targets, facts))
    for path in (os.path.join(base, name) for base, _, names in os.walk(tmp) for name in names):
        os.chmod(path, 0o644)
        with open(path, "rb") as written:
            os.fsync(written.fileno())
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(tmp, folder)


def _write_adapter(folder: str, tuned: Tuned, weights: dict[str, torch.Tensor], job: Job) -> None:
    config = tuned.model.peft_config["default"].to_dict()
    # The folder the weights were read from is this machine's affair.
    config["base_model_name_or_path"] = job.base_model
    config["inference_mode"] = True
    config["target_modules"] = sorted(config["target_modules"])
    with open(os.path.join(folder, "adapter_config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2, sort_keys=True, default=_plain)
        file.write("\n")
    tensors = {name: weights[name].contiguous() for name in sorted(weights)}
    save_file(tensors, os.path.join(folder, "adapter_model.safetensors"), metadata={"format": "pt"})


def _merged(tuned: Tuned, weights: dict[str, torch.Tensor], job: Job) -> Any:
    """The base weights with the adapter's added in float32: in bf16 much of a small change would be rounded away."""
    del tuned.model
    model = add_adapter(load_base(job, torch.float32), job)
    set_peft_model_state_dict(model, weights)
    return model.merge_and_unload()


def _write_whole(folder: str, model: Any, job: Job, tokenizer: Any) -> None:
    model = model.to(device="cpu", dtype=torch.bfloat16)
    model.config.use_cache = True
    model.config.attention_dropout = 0.0
    model.config._name_or_path = job.base_model
    # One file, which the engine's conversion reads as a stream.
    model.save_pretrained(folder, max_shard_size="1000GB")
    tokenizer.save_pretrained(folder)
    if job.chat_template_file:
        shutil.copyfile(job.chat_template_file, os.path.join(folder, "chat_template.jinja"))


def _write_encoder(folder: str, model: Any, job: Job, tokenizer: Any) -> None:
    """All in float32, with the files that say how vectors are made of the model's states."""
    own = AutoConfig.from_pretrained(job.model_dir, local_files_only=True)
    model = model.to(device="cpu", dtype=torch.float32)
    model.config.attention_probs_dropout_prob = own.attention_probs_dropout_prob
    model.config.hidden_dropout_prob = own.hidden_dropout_prob
    model.config._name_or_path = job.base_model
    model.save_pretrained(folder, max_shard_size="1000GB")
    tokenizer.save_pretrained(folder)
    # Tokenizers of today write tokenizer.json alone; the engine and older readers want the list of words.
    words = os.path.join(job.model_dir, "vocab.txt")
    if os.path.exists(words):
        shutil.copyfile(words, os.path.join(folder, "vocab.txt"))
    longest = min(job.max_seq_length, own.max_position_embeddings)
    parts = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(parts)
    ]
    pooling = {"word_embedding_dimension": own.hidden_size, "pooling_mode_mean_tokens": True}
    os.makedirs(os.path.join(folder, "1_Pooling"))
    _write_json(os.path.join(folder, "modules.json"), modules)
    _write_json(os.path.join(folder, "1_Pooling", "config.json"), {**pooling, "pooling_mode_cls_token": False})
    _write_json(os.path.join(folder, "sentence_bert_config.json"), {"max_seq_length": longest, "do_lower_case": False})


def _write_json(path: str, value: object) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def card(job: Job, targets: list[str], facts: dict[str, object]) -> str:
    hp = job.hyperparameters
    rank = f"| rank, alpha, dropout | {hp.lora.adapter_dim}, {hp.lora.alpha:g}, {hp.lora.adapter_dropout:g} |\n"
    name = job.base_model.rsplit("/", 1)[-1]
    is_adapter, is_encoder = hp.finetuning_type == "lora", job.task == "embedding"
    library = "sentence-transformers" if is_encoder else "peft" if is_adapter else "transformers"
    code = SENTENCE_CODE if is_encoder else ADAPTER_CODE.format(name=name) if is_adapter else WHOLE_CODE
    return CARD.format(
        base=job.base_model,
        library=library,
        pipeline="sentence-similarity" if is_encoder else "text-generation",
        finetuning=hp.finetuning_type,
        training=hp.training_type,
        title=TITLES[hp.finetuning_type].format(base=job.base_model),
        how=HOW_EMBEDDING if is_encoder else HOW[hp.training_type],
        rank_row=f"{rank}| layers | {', '.join(targets)} |\n" if targets else "",
        epochs=hp.epochs,
        batch=hp.batch_size,
        rate=hp.learning_rate,
        seed=job.seed,
        code=code,
        **facts,
    )


def _plain(value: object) -> object:
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(value)
    return str(getattr(value, "value", value))
