# SPDX-License-Identifier: Apache-2.0
"""The tuned adapter as a standard PEFT repository."""

import json
import os
import shutil

import torch
from peft import PeftModel
from safetensors.torch import save_file

from .job import Job

CARD = """---
base_model: {base}
library_name: peft
pipeline_tag: text-generation
tags:
- lora
- sft
---

# LoRA adapter for {base}

Made by supervised fine-tuning (loss on the completions only) with the open NeMo Microservices.

| | |
|---|---|
| rank, alpha, dropout | {rank}, {alpha:g}, {dropout:g} |
| layers | {targets} |
| rows trained on, validated on | {rows}, {validation_rows} |
| epochs, global batch, steps | {epochs}, {batch}, {steps} |
| learning rate, seed | {rate:g}, {seed} |
| training loss, validation loss | {train_loss}, {val_loss} |

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("path/to/{name}")
model = PeftModel.from_pretrained(base, "path/to/this/repository")
```
"""


def write_adapter(
    folder: str, model: PeftModel, weights: dict[str, torch.Tensor], job: Job, facts: dict[str, object]
) -> None:
    """Writes `folder` whole: beside it first, then renamed. `facts` fills the model card."""
    tmp = folder + ".tmp"
    shutil.rmtree(tmp, ignore_errors=True)
    os.makedirs(tmp)
    config = model.peft_config["default"].to_dict()
    # The folder the weights were read from is this machine's affair.
    config["base_model_name_or_path"] = job.base_model
    config["inference_mode"] = True
    targets = sorted(config["target_modules"])
    config["target_modules"] = targets
    with open(os.path.join(tmp, "adapter_config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2, sort_keys=True, default=_plain)
        file.write("\n")
    tensors = {name: weights[name].contiguous() for name in sorted(weights)}
    save_file(tensors, os.path.join(tmp, "adapter_model.safetensors"), metadata={"format": "pt"})
    hp = job.hyperparameters
    card = CARD.format(
        base=job.base_model,
        name=job.base_model.rsplit("/", 1)[-1],
        rank=hp.lora.adapter_dim,
        alpha=hp.lora.alpha,
        dropout=hp.lora.adapter_dropout,
        targets=", ".join(targets),
        epochs=hp.epochs,
        batch=hp.batch_size,
        rate=hp.learning_rate,
        seed=job.seed,
        **facts,
    )
    with open(os.path.join(tmp, "README.md"), "w", encoding="utf-8") as file:
        file.write(card)
    for name in os.listdir(tmp):
        os.chmod(os.path.join(tmp, name), 0o644)
        with open(os.path.join(tmp, name), "rb") as written:
            os.fsync(written.fileno())
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(tmp, folder)


def _plain(value: object) -> object:
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(value)
    return str(getattr(value, "value", value))
