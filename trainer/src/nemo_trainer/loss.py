# SPDX-License-Identifier: Apache-2.0
"""Rows as tensors, and the cross entropy of their trained tokens."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from .encode import Row

# Architectures whose logits are exactly the output layer of the last hidden state: for these the output layer, the
# widest of a small model, is computed for trained tokens only. They also take a mask of our own, for packed rows.
PLAIN_HEADS = {"llama", "mistral", "qwen2", "qwen3", "smollm3"}
IGNORED = -100
# Up to this width the plain attention takes less time on a CPU than the fused one, whose backward pass is slow for
# short rows: a quarter of a step at 40 tokens.
PLAIN_ATTENTION_WIDTH = 128
# Logits of a long row in float32 take gigabytes with a large vocabulary: beyond this many they are made piece by
# piece, and made again for the backward pass.
HEAD_TOKENS = 512


@dataclass(frozen=True)
class Batch:
    """Token ids and labels of one pass; `owner` says which row of the group each token belongs to."""

    ids: torch.Tensor
    labels: torch.Tensor
    owner: torch.Tensor
    rows: int
    positions: torch.Tensor | None = None
    mask: torch.Tensor | None = None


def collate(rows: list[Row], pad: int) -> Batch:
    """Rows one below the other, padded on the right. With causal attention nothing sees the padding."""
    width = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED, dtype=torch.long)
    for i, row in enumerate(rows):
        tokens = torch.tensor(row.ids)
        ids[i, : len(row.ids)] = tokens
        labels[i, : len(row.ids)] = torch.where(torch.tensor(row.trained), tokens, IGNORED)
    labels[:, 0] = IGNORED
    owner = torch.arange(len(rows))[:, None].expand(-1, width)
    return Batch(ids, labels, owner, len(rows))


def pack(rows: list[Row]) -> Batch:
    """Rows one behind the other as a single sequence, without padding.

    Each token attends to its own row only, and positions begin anew in each row, so that the loss is that of the rows
    apart. The first token of a row is predicted by nothing.
    """
    ids = torch.tensor([token for row in rows for token in row.ids])
    trained = torch.tensor([on and i > 0 for row in rows for i, on in enumerate(row.trained)])
    owner = torch.tensor([n for n, row in enumerate(rows) for _ in row.ids])
    positions = torch.tensor([i for row in rows for i in range(len(row.ids))])
    width = len(ids)
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    mask = causal & (owner[:, None] == owner[None, :])
    labels = torch.where(trained, ids, IGNORED)
    return Batch(ids[None], labels[None], owner[None], len(rows), positions[None], mask[None, None])


def base_of(model: Any) -> Any:
    """The transformers model below an adapter, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def row_losses(model: Any, batch: Batch, autocast: torch.dtype | None = None) -> torch.Tensor:
    """For each row the sum of the cross entropies of its labelled tokens."""
    base = base_of(model)
    device = base.device
    ids, labels = batch.ids.to(device), batch.labels.to(device)
    targets = labels[:, 1:]
    kept = targets != IGNORED
    inputs: dict[str, Any] = {"input_ids": ids, "use_cache": False}
    if batch.mask is not None and batch.positions is not None:
        inputs |= {"attention_mask": batch.mask.to(device), "position_ids": batch.positions.to(device)}
    cast = torch.autocast(device.type, dtype=autocast) if autocast else nullcontext()
    with attention_kernel(ids), cast:
        if base.config.model_type in PLAIN_HEADS:
            hidden = base.base_model(**inputs).last_hidden_state
            losses = _head_losses(base.get_output_embeddings(), hidden[:, :-1][kept], targets[kept])
        else:
            logits = model(**inputs).logits[:, :-1][kept]
            losses = cross_entropy(logits.float(), targets[kept], reduction="none")
    owner = batch.owner.to(device)[:, 1:][kept]
    return torch.zeros(batch.rows, device=device).index_add(0, owner, losses)


def _head_losses(head: torch.nn.Module, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    def piece(states: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return cross_entropy(head(states).float(), wanted, reduction="none")

    if len(targets) <= HEAD_TOKENS:
        return piece(hidden, targets)
    pieces = zip(hidden.split(HEAD_TOKENS), targets.split(HEAD_TOKENS), strict=True)
    return torch.cat([checkpoint(piece, states, wanted, use_reentrant=False) for states, wanted in pieces])


def attention_kernel(ids: torch.Tensor) -> AbstractContextManager[None]:
    """The attention that takes least time for rows of this width."""
    if ids.device.type == "cpu" and ids.shape[1] <= PLAIN_ATTENTION_WIDTH:
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()
