# SPDX-License-Identifier: Apache-2.0
"""The model that is tuned: all of its weights, or an adapter beside them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch.nn.functional import dropout
from transformers import AutoModelForCausalLM

from .encoder import load_encoder
from .errors import JobError
from .job import Job
from .loss import base_of
from .targets import resolve_targets


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_precision(job: Job, device: torch.device) -> torch.dtype:
    """The type that the base weights compute in; adapters are always float32.

    With bf16 instructions a step takes two thirds of float32's time; without them bf16 is emulated and slow. The
    choice depends on the machine only, so that the same seed gives the same losses.
    """
    if job.precision != "auto":
        return torch.bfloat16 if job.precision == "bf16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    fast = any(getattr(torch.cpu, name, lambda: False)() for name in probes)
    return torch.bfloat16 if fast else torch.float32


class Tuned:
    """A model in training, the same to the loop whatever of it is trained."""

    model: Any
    # Set when weights are kept in float32 and computed with in fewer bits.
    autocast: torch.dtype | None = None

    def weights(self) -> dict[str, torch.Tensor]:
        """All that training changes, as it is now."""
        raise NotImplementedError

    def kept(self) -> dict[str, torch.Tensor]:
        """A copy of it for the output."""
        return {name: each.clone() for name, each in self.weights().items()}

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        raise NotImplementedError

    def untuned(self) -> AbstractContextManager[Any]:
        """Within it the model answers as it did before training; of all-weights tuning only before the first step."""
        raise NotImplementedError


class Adapter(Tuned):
    """LoRA layers beside frozen weights."""

    def __init__(self, job: Job, device: torch.device, dtype: torch.dtype) -> None:
        self.model = add_adapter(load_base(job, dtype), job).to(device)
        self.model.train()

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: each.detach().cpu() for name, each in get_peft_model_state_dict(self.model).items()}

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        set_peft_model_state_dict(self.model, weights)

    def untuned(self) -> AbstractContextManager[Any]:
        return self.model.disable_adapter()


class AllWeights(Tuned):
    """Every weight of the model, kept in float32: steps of training are too small for bf16."""

    def __init__(self, job: Job, device: torch.device, dtype: torch.dtype) -> None:
        self.model = load_base(job, torch.float32).to(device)
        self.model.train()
        self.autocast = dtype if dtype != torch.float32 else None
        # What is small and compared by its vectors keeps all of its digits.
        self._kept = torch.float32 if job.task == "embedding" else torch.bfloat16

    def weights(self) -> dict[str, torch.Tensor]:
        # Weights that are used twice (the output layer's are often the embedding's) have one name here.
        return {name: each.detach().cpu() for name, each in self.model.named_parameters()}

    def kept(self) -> dict[str, torch.Tensor]:
        return {name: each.to(self._kept, copy=True) for name, each in self.weights().items()}

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, each in self.model.named_parameters():
                each.copy_(weights[name])

    def untuned(self) -> AbstractContextManager[Any]:
        return nullcontext()


def load_tuned(job: Job, device: torch.device, dtype: torch.dtype) -> Tuned:
    kind = AllWeights if job.hyperparameters.finetuning_type == "all_weights" else Adapter
    return kind(job, device, dtype)


def load_base(job: Job, dtype: torch.dtype) -> Any:
    """The base model, with the dropout that the job asks for."""
    if job.task == "embedding":
        return load_encoder(job, dtype)
    hp = job.hyperparameters
    changes = {"attention_dropout": hp.attention_dropout} if hp.attention_dropout else {}
    base = AutoModelForCausalLM.from_pretrained(job.model_dir, dtype=dtype, local_files_only=True, **changes)
    base.config.use_cache = False
    if hp.hidden_dropout:
        _drop_hidden(base, hp.hidden_dropout)
    return base


def add_adapter(base: Any, job: Job) -> Any:
    """Fresh LoRA layers beside `base`, made from the job's seed."""
    head = base.get_output_embeddings()
    layers = [name for name, module in base.named_modules() if isinstance(module, torch.nn.Linear) and module is not head]
    lora = job.hyperparameters.lora
    torch.manual_seed(job.seed)
    config = LoraConfig(
        r=lora.adapter_dim,
        lora_alpha=lora.alpha,
        lora_dropout=lora.adapter_dropout,
        target_modules=resolve_targets(lora.target_modules, layers),
        bias="none",
        task_type="FEATURE_EXTRACTION" if job.task == "embedding" else "CAUSAL_LM",
    )
    return get_peft_model(base, config, autocast_adapter_dtype=True)


def _drop_hidden(base: Any, share: float) -> None:
    """Dropout of what each block adds to the hidden states; Llama-like models have none of their own."""

    def hook(module: Any, _args: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (dropout(output[0], share, module.training), *output[1:])
        return dropout(output, share, module.training)

    blocks = [each for name, each in base.named_modules() if name.rsplit(".", 1)[-1] in ("self_attn", "mlp")]
    if not blocks:
        raise JobError("unsupported", f"sft.hidden_dropout is not supported for {base.config.model_type} models")
    for block in blocks:
        block.register_forward_hook(hook)


def watch_layers(model: Any, check: Callable[[], None]) -> None:
    """Calls `check` at every decoder layer, forward and backward: it may raise to end a pass within a moment."""

    def forward_hook(_module: Any, _args: Any, output: Any) -> None:
        check()
        hidden = output[0] if isinstance(output, tuple) else output
        if isinstance(hidden, torch.Tensor) and hidden.requires_grad:
            hidden.register_hook(lambda _grad: check())

    for module in base_of(model).modules():
        if isinstance(module, torch.nn.ModuleList):
            for layer in module:
                layer.register_forward_hook(forward_hook)
