# SPDX-License-Identifier: Apache-2.0
"""Texts as vectors: the mean of the last layer's states of all tokens, brought to length one, as the engine does it."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModel

from .errors import JobError
from .job import Job
from .loss import attention_kernel, base_of
from .schedule import micro_batches

# Padded tokens in one pass; a layer's states of more take much memory and hardly less time.
PASS_TOKENS = 2048
# Architectures that the engine can embed with.
ENCODERS = {"bert"}


def load_encoder(job: Job, dtype: torch.dtype) -> Any:
    """The base model without its pooling head, with the dropout that the job asks for, or its own."""
    config = AutoConfig.from_pretrained(job.model_dir, local_files_only=True)
    if config.model_type not in ENCODERS:
        raise JobError("unsupported", f"embedding models of the architecture {config.model_type} cannot be tuned")
    hp = job.hyperparameters
    asked = {"attention_probs_dropout_prob": hp.attention_dropout, "hidden_dropout_prob": hp.hidden_dropout}
    changes = {key: value for key, value in asked.items() if value is not None}
    return AutoModel.from_pretrained(
        job.model_dir, dtype=dtype, local_files_only=True, add_pooling_layer=False, **changes
    )


def embed(model: Any, texts: Sequence[tuple[int, ...]], pad: int, autocast: torch.dtype | None = None) -> torch.Tensor:
    """A row of length one for each text.

    Texts that do not fit one pass are computed in several. Their states are then made again for the backward pass,
    so that memory is that of one pass however large the batch is.
    """
    groups = micro_batches(list(range(len(texts))), [len(each) for each in texts], PASS_TOKENS)
    parts = []
    for group in groups:
        ids, mask = _padded([texts[i] for i in group], pad)
        if len(groups) == 1 or not torch.is_grad_enabled():
            parts.append(_pass(model, ids, mask, autocast))
        else:
            parts.append(checkpoint(_pass, model, ids, mask, autocast, use_reentrant=False))
    order = torch.tensor([i for group in groups for i in group])
    return torch.cat(parts)[torch.argsort(order).to(parts[0].device)]


def _pass(model: Any, ids: torch.Tensor, mask: torch.Tensor, autocast: torch.dtype | None) -> torch.Tensor:
    device = base_of(model).device
    ids, mask = ids.to(device), mask.to(device)
    cast = torch.autocast(device.type, dtype=autocast) if autocast else nullcontext()
    with attention_kernel(ids), cast:
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    weights = mask[:, :, None].float()
    return normalize((states.float() * weights).sum(1) / weights.sum(1), dim=1)


def _padded(texts: Sequence[tuple[int, ...]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(each) for each in texts)
    ids = torch.full((len(texts), width), pad, dtype=torch.long)
    mask = torch.zeros(len(texts), width, dtype=torch.long)
    for i, each in enumerate(texts):
        ids[i, : len(each)] = torch.tensor(each)
        mask[i, : len(each)] = 1
    return ids, mask
