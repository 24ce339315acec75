# SPDX-License-Identifier: Apache-2.0
"""The loss of embedding models: each query finds its own document among those of the batch (InfoNCE)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from .encoder import embed
from .errors import JobError
from .job import Hyperparameters, Job
from .model import Tuned
from .objective import Objective
from .triplets import Triplet

# Cosines are divided by it before the softmax; sentence models are commonly trained with it.
TEMPERATURE = 0.05


class Contrastive(Objective):
    """Cross entropy of a query's document against the others: its own hard negatives and, with `in_batch`, the
    documents and hard negatives of all rows of the step. Every query weighs the same."""

    counts_right = True

    def __init__(
        self, tuned: Tuned, hp: Hyperparameters, rows: Sequence[Any], validation: Sequence[Any], pad: int,
        in_batch: bool,
    ) -> None:  # fmt: skip
        super().__init__(tuned, hp, rows, validation, pad)
        self.in_batch = in_batch

    def groups(self, indices: list[int], validation: bool = False) -> list[list[int]]:
        """A step is one group, since its rows are each other's negatives. Validation rows are split evenly into
        groups no larger than a step."""
        if not validation:
            return [indices]
        count = math.ceil(len(indices) / self.hp.batch_size)
        return [indices[len(indices) * i // count : len(indices) * (i + 1) // count] for i in range(count)]

    def weight(self, indices: list[int], validation: bool = False) -> float:
        return len(indices)

    def loss(self, indices: list[int], validation: bool = False) -> tuple[torch.Tensor, float]:
        rows: list[Triplet] = [(self.validation if validation else self.rows)[i] for i in indices]
        documents = list(dict.fromkeys(each for row in rows for each in (row.positive, *row.negatives)))
        queries = [row.query for row in rows]
        vectors = embed(self.tuned.model, [*queries, *documents], self.pad, self.tuned.autocast)
        wanted, allowed = candidates(rows, documents, self.in_batch)
        cosines = vectors[: len(rows)] @ vectors[len(rows) :].T
        scores = (cosines / TEMPERATURE).masked_fill(~allowed.to(vectors.device), -math.inf)
        wanted = wanted.to(vectors.device)
        right = (scores.detach().argmax(dim=1) == wanted).sum()
        return cross_entropy(scores, wanted, reduction="sum"), float(right)

    def _length(self, row: Triplet) -> int:
        return sum(map(len, (row.query, row.positive, *row.negatives)))


def candidates(
    rows: list[Triplet], documents: list[tuple[int, ...]], in_batch: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """For each row the place of its own document, and which of `documents` it is told apart from.

    A document that answers the same query in another row is no negative of it.
    """
    place = {each: i for i, each in enumerate(documents)}
    answers: dict[tuple[int, ...], set[int]] = {}
    for row in rows:
        answers.setdefault(row.query, set()).add(place[row.positive])
    allowed = torch.full((len(rows), len(documents)), in_batch)
    for i, row in enumerate(rows):
        allowed[i, [place[each] for each in row.negatives]] = True
        allowed[i, list(answers[row.query])] = False
        allowed[i, place[row.positive]] = True
    return torch.tensor([place[row.positive] for row in rows]), allowed


def make_contrastive(
    tuned: Tuned, job: Job, rows: Sequence[Triplet], validation: Sequence[Triplet], pad: int
) -> tuple[Objective, str | None]:
    """The objective, and what has to be said of settings that have no effect. Raises JobError when no row would have
    a negative."""
    hp, in_batch = job.hyperparameters, job.negatives.in_batch_negatives
    alone = not in_batch or min(hp.batch_size, len(rows)) < 2
    if alone and not any(row.negatives for row in rows):
        raise JobError(
            "invalid_data",
            "no row has a document to tell its own apart from: give neg_doc, or a batch_size above 1 with "
            "in_batch_negatives",
        )
    packing = hp.sequence_packing_enabled
    warning = "sequence_packing_enabled has no effect on embedding models" if packing else None
    return Contrastive(tuned, hp, rows, validation, pad, in_batch), warning
