# SPDX-License-Identifier: Apache-2.0
"""What a step makes smaller: the loss of answers (supervised), or that of preferences (DPO). That of embeddings is in
contrastive.py."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from .encode import Pair, Row
from .job import Hyperparameters, Job
from .loss import PLAIN_HEADS, base_of, collate, pack, row_losses
from .model import Tuned
from .schedule import micro_batches, packs

# Padded tokens in one pass. More makes a pass hardly faster on a CPU, and each takes memory for its logits.
TRAIN_TOKENS = 1024
VALIDATION_TOKENS = 2048


class Objective:
    """Rows of one kind and their loss. Sums over groups and weights add up to a step's, however rows are grouped."""

    def __init__(self, tuned: Tuned, hp: Hyperparameters, rows: Sequence[Any], validation: Sequence[Any], pad: int) -> None:
        self.tuned, self.hp, self.pad = tuned, hp, pad
        self.rows, self.validation = rows, validation
        self.lengths = [[self._length(row) for row in each] for each in (rows, validation)]

    def prepare(self) -> None:
        """What has to be known of the model before it changes."""

    def groups(self, indices: list[int], validation: bool = False) -> list[list[int]]:
        """Splits rows into what is computed in one pass."""
        lengths = self.lengths[validation]
        budget = VALIDATION_TOKENS if validation else TRAIN_TOKENS
        return micro_batches(indices, lengths, budget, None if validation else self.hp.micro_batch_size)

    def weight(self, indices: list[int], validation: bool = False) -> float:
        """What the sum of the rows' losses is divided by."""
        raise NotImplementedError

    def loss(self, indices: list[int], validation: bool = False) -> tuple[torch.Tensor, float]:
        """The sum of the losses of these rows, and how many of them the model gets right where that is counted."""
        raise NotImplementedError

    # Whether `loss` counts rows that the model gets right.
    counts_right = False

    def _length(self, row: Any) -> int:
        return len(row.ids)


class Supervised(Objective):
    """Cross entropy of the completions; every trained token weighs the same."""

    def weight(self, indices: list[int], validation: bool = False) -> float:
        rows: Sequence[Row] = self.validation if validation else self.rows
        return sum(rows[i].trained_count for i in indices)

    def loss(self, indices: list[int], validation: bool = False) -> tuple[torch.Tensor, float]:
        rows = self.validation if validation else self.rows
        batch = collate([rows[i] for i in indices], self.pad)
        return row_losses(self.tuned.model, batch, self.tuned.autocast).sum(), 0.0


class Packed(Supervised):
    """The same with rows behind each other in one sequence, which wastes nothing on padding."""

    def groups(self, indices: list[int], validation: bool = False) -> list[list[int]]:
        return packs(indices, self.lengths[validation], TRAIN_TOKENS)

    def loss(self, indices: list[int], validation: bool = False) -> tuple[torch.Tensor, float]:
        rows = self.validation if validation else self.rows
        return row_losses(self.tuned.model, pack([rows[i] for i in indices]), self.tuned.autocast).sum(), 0.0


class Preference(Objective):
    """Direct preference optimisation: the chosen answer becomes likelier than the rejected one, measured against the
    model as it was. Every pair weighs the same."""

    counts_right = True

    def prepare(self) -> None:
        """The log-probabilities before training; computed once, and again the same after a restart."""
        model = self.tuned.model
        model.eval()
        try:
            with torch.no_grad(), self.tuned.untuned():
                self._reference = [self._reference_of(kind) for kind in (False, True)]
        finally:
            model.train()

    def weight(self, indices: list[int], validation: bool = False) -> float:
        return len(indices)

    def loss(self, indices: list[int], validation: bool = False) -> tuple[torch.Tensor, float]:
        dpo = self.hp.dpo
        pairs: list[Pair] = [(self.validation if validation else self.rows)[i] for i in indices]
        chosen, rejected = self._log_probs(pairs)
        sizes = self._sizes(pairs, chosen.device)
        reference = self._reference[validation][indices].to(chosen.device)
        preferred, other = chosen - reference[:, 0], rejected - reference[:, 1]
        if dpo.preference_average_log_probs:
            preferred, other = preferred / sizes[:, 0], other / sizes[:, 1]
        margin = dpo.ref_policy_kl_penalty * (preferred - other)
        loss = -dpo.preference_loss_weight * logsigmoid(margin)
        if dpo.sft_loss_weight:
            answer = -chosen / sizes[:, 0] if dpo.sft_average_log_probs else -chosen
            loss = loss + dpo.sft_loss_weight * answer
        return loss.sum(), float((margin.detach() > 0).sum())

    def _reference_of(self, validation: bool) -> torch.Tensor:
        pairs = self.validation if validation else self.rows
        out = torch.zeros(len(pairs), 2)
        for group in self.groups(list(range(len(pairs))), validation=validation):
            chosen, rejected = self._log_probs([pairs[i] for i in group])
            out[group, 0], out[group, 1] = chosen.cpu(), rejected.cpu()
        return out

    def _log_probs(self, pairs: list[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        sums = -row_losses(self.tuned.model, collate(rows, self.pad), self.tuned.autocast)
        return sums[: len(pairs)], sums[len(pairs) :]

    def _sizes(self, pairs: list[Pair], device: torch.device) -> torch.Tensor:
        sizes = [(pair.chosen.trained_count, pair.rejected.trained_count) for pair in pairs]
        return torch.tensor(sizes, dtype=torch.float32, device=device)

    def _length(self, row: Pair) -> int:
        return len(row)


def make_objective(
    tuned: Tuned, job: Job, rows: Sequence[Any], validation: Sequence[Any], pad: int
) -> tuple[Objective, str | None]:
    """The objective of the job, and what has to be said of settings that have no effect."""
    hp = job.hyperparameters
    if job.task == "embedding":
        from .contrastive import make_contrastive

        return make_contrastive(tuned, job, rows, validation, pad)
    kind: type[Objective] = Preference if hp.training_type == "dpo" else Supervised
    warning = None
    if hp.sequence_packing_enabled:
        architecture = base_of(tuned.model).config.model_type
        if kind is Supervised and architecture in PLAIN_HEADS:
            kind = Packed
        else:
            what = "dpo" if kind is Preference else f"{architecture} models"
            warning = f"sequence_packing_enabled is not supported for {what}: rows of similar length are grouped instead"
    return kind(tuned, hp, rows, validation, pad), warning
