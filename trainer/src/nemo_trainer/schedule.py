# SPDX-License-Identifier: Apache-2.0
"""Which rows make which step, and at which learning rate: plain functions of the job, so that a resumed job goes on
exactly where it was. Needs no PyTorch."""

import math
import random
from dataclasses import dataclass

from .job import Hyperparameters

DEFAULT_WARMUP = 200


@dataclass(frozen=True)
class Plan:
    rows: int
    batch_size: int
    steps_per_epoch: int
    steps_total: int
    warmup_steps: int
    """Steps between validations; they also happen at the end of each epoch."""
    validate_every: int | None


def make_plan(rows: int, hp: Hyperparameters) -> Plan:
    per_epoch = math.ceil(rows / hp.batch_size)
    total = per_epoch * hp.epochs
    if hp.max_steps > 0:
        total = min(total, hp.max_steps)
    # NeMo's default of 200 warm-up steps would be the whole of a small job.
    warmup = min(DEFAULT_WARMUP, total // 10) if hp.warmup_steps is None else hp.warmup_steps
    return Plan(rows, hp.batch_size, per_epoch, total, warmup, _validate_every(hp, per_epoch, total))


def _validate_every(hp: Hyperparameters, per_epoch: int, total: int) -> int | None:
    interval = hp.val_check_interval
    if not interval:
        return None
    steps = max(1, round(interval * per_epoch)) if interval <= 1 else int(interval)
    if hp.max_steps > 0 and steps > total:
        steps = max(1, total - 1)
    return None if steps >= per_epoch else steps


def learning_rate(step: int, plan: Plan, hp: Hyperparameters) -> float:
    """The rate of step `step` (from 1): from the minimum up over the warm-up, then down a cosine to the minimum."""
    high, low = hp.learning_rate, hp.min_learning_rate
    if step <= plan.warmup_steps:
        return low + (high - low) * step / plan.warmup_steps
    if hp.optimizer.endswith("flat_lr"):
        return high
    rest = max(1, plan.steps_total - plan.warmup_steps)
    progress = (step - plan.warmup_steps) / rest
    return low + (high - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class Batches:
    """Row numbers of each step: every epoch shuffles anew from the seed and the epoch's number."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self._plan = plan
        self._seed = seed
        self._epoch = -1
        self._order: list[int] = []

    def of_step(self, step: int) -> list[int]:
        """The rows of step `step` (from 1); the last step of an epoch may have fewer than the others."""
        epoch, position = divmod(step - 1, self._plan.steps_per_epoch)
        if epoch != self._epoch:
            order = list(range(self._plan.rows))
            random.Random(f"{self._seed}/{epoch}").shuffle(order)
            self._epoch, self._order = epoch, order
        start = position * self._plan.batch_size
        return self._order[start : start + self._plan.batch_size]


def micro_batches(rows: list[int], lengths: list[int], token_budget: int, limit: int | None = None) -> list[list[int]]:
    """Splits a step's rows into groups of similar length whose padded size stays within `token_budget` tokens.

    A longer row makes a group of its own. `limit` bounds the rows in a group.
    """
    groups: list[list[int]] = []
    for row in sorted(rows, key=lambda each: (-lengths[each], each)):
        group = groups[-1] if groups else []
        width = lengths[group[0]] if group else lengths[row]
        fits = group and (len(group) + 1) * width <= token_budget and (limit is None or len(group) < limit)
        if fits:
            group.append(row)
        else:
            groups.append([row])
    return groups

def packs(indices: list[int], lengths: list[int], width: int) -> list[list[int]]:
    """Rows that fit into one sequence of `width` tokens together: the longest first, each into the first with room."""
    groups: list[list[int]] = []
    rooms: list[int] = []
    for row in sorted(indices, key=lambda each: (-lengths[each], each)):
        at = next((i for i, room in enumerate(rooms) if room >= lengths[row]), len(rooms))
        if at == len(rooms):
            groups.append([])
            rooms.append(max(width, lengths[row]))
        groups[at].append(row)
        rooms[at] -= lengths[row]
    return groups
