# SPDX-License-Identifier: Apache-2.0
"""The model with its adapter, and its loss over the trained tokens."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM

from .encode import Row
from .job import Job
from .targets import resolve_targets

# Architectures whose logits are exactly the output layer of the last hidden state: for these the output layer, the
# widest of a small model, is computed for trained tokens only.
PLAIN_HEADS = {"llama", "mistral", "qwen2", "qwen3", "smollm3"}
IGNORED = -100
# Up to this width the plain attention takes less time on a CPU than the fused one, whose backward pass is slow for
# short rows: a quarter of a step at 40 tokens.
PLAIN_ATTENTION_WIDTH = 128
# Logits of a long row in float32 take gigabytes with a large vocabulary: beyond this many they are made piece by
# piece, and made again for the backward pass.
HEAD_TOKENS = 512


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_precision(job: Job, device: torch.device) -> torch.dtype:
    """The base weights' type; adapters are always float32.

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


def load_model(job: Job, device: torch.device, dtype: torch.dtype) -> PeftModel:
    """The base model with fresh LoRA layers, made from the job's seed."""
    base = AutoModelForCausalLM.from_pretrained(job.model_dir, dtype=dtype, local_files_only=True)
    base.config.use_cache = False
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
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, config, autocast_adapter_dtype=True).to(device)
    model.train()
    return model


def watch_layers(model: PeftModel, check: Callable[[], None]) -> None:
    """Calls `check` at every decoder layer, forward and backward: it may raise to end a pass within a moment."""

    def forward_hook(_module: Any, _args: Any, output: Any) -> None:
        check()
        hidden = output[0] if isinstance(output, tuple) else output
        if isinstance(hidden, torch.Tensor) and hidden.requires_grad:
            hidden.register_hook(lambda _grad: check())

    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList):
            for layer in module:
                layer.register_forward_hook(forward_hook)


def collate(rows: list[Row], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids padded on the right, and labels of the same shape. With causal attention nothing sees the padding."""
    width = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED, dtype=torch.long)
    for i, row in enumerate(rows):
        tokens = torch.tensor(row.ids)
        ids[i, : len(row.ids)] = tokens
        labels[i, : len(row.ids)] = torch.where(torch.tensor(row.trained), tokens, IGNORED)
    labels[:, 0] = IGNORED
    return ids, labels


def summed_loss(model: PeftModel, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The sum of the cross entropies of all labelled tokens (divide by their number for the mean)."""
    base = model.get_base_model()
    ids, labels = ids.to(base.device), labels.to(base.device)
    targets = labels[:, 1:]
    kept = targets != IGNORED
    with _attention(ids):
        if base.config.model_type in PLAIN_HEADS:
            hidden = base.base_model(input_ids=ids, use_cache=False).last_hidden_state
            return _head_loss(base.get_output_embeddings(), hidden[:, :-1][kept], targets[kept])
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1][kept]
    return cross_entropy(logits.float(), targets[kept], reduction="sum")


def _head_loss(head: torch.nn.Module, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    def piece(states: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return cross_entropy(head(states).float(), wanted, reduction="sum")

    if len(targets) <= HEAD_TOKENS:
        return piece(hidden, targets)
    pieces = zip(hidden.split(HEAD_TOKENS), targets.split(HEAD_TOKENS), strict=True)
    return sum(checkpoint(piece, states, wanted, use_reentrant=False) for states, wanted in pieces)


def _attention(ids: torch.Tensor) -> AbstractContextManager[None]:
    if ids.device.type == "cpu" and ids.shape[1] <= PLAIN_ATTENTION_WIDTH:
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()
