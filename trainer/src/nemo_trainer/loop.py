# SPDX-License-Identifier: Apache-2.0
"""The training loop: one job from its first or last kept step to its end."""

import math
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import torch

from .errors import JobError, Stopped
from .events import EventLog
from .job import Job
from .model import Tuned, watch_layers
from .objective import Objective
from .schedule import Batches, Plan, learning_rate, make_plan
from .store import CheckpointStore

PROGRESS_EVERY_S = 2.0
# NeMo's early stopping: so many epochs without an improvement of at least this much end the training.
PATIENCE_EPOCHS = 10
MIN_DELTA = 0.001
# Writing a checkpoint of all weights takes seconds: no more than this share of the time goes into it.
SAVING_SHARE = 0.1


@dataclass
class Progress:
    """What changes while a job runs and has to survive a kill, beside the weights."""

    step: int = 0
    train_loss: float | None = None
    val_loss: float | None = None
    best_step: int = 0
    best_val_loss: float | None = None
    patience_loss: float | None = None
    patience_epoch: int = 0
    validated_step: int = 0
    """Loss, its weight (trained tokens or pairs), rows and right ones among them since the last logged point."""
    window: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])


class Loop:
    def __init__(
        self, job: Job, tuned: Tuned, objective: Objective, events: EventLog, store: CheckpointStore,
        stop: threading.Event,
    ) -> None:
        self.job, self.hp, self.tuned, self.events, self.store = job, job.hyperparameters, tuned, events, store
        self.model, self.objective = tuned.model, objective
        self.plan: Plan = make_plan(len(objective.rows), self.hp)
        self.progress = Progress()
        self.best_weights: dict[str, torch.Tensor] | None = None
        self._stop = stop
        self._batches = Batches(self.plan, job.seed)
        self._params = [each for each in self.model.parameters() if each.requires_grad]
        self._optimizer = self._make_optimizer()
        self._saved_at = time.monotonic()
        self._save_seconds = 0.0
        self._told_at = 0.0
        self._rows_done = 0
        self._train_seconds = 0.0
        watch_layers(self.model, self._check)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _make_optimizer(self) -> torch.optim.Optimizer:
        kind = torch.optim.AdamW if self.hp.optimizer.startswith("adamw") else torch.optim.Adam
        return kind(
            self._params,
            lr=self.hp.learning_rate,
            betas=(self.hp.adam_beta1, self.hp.adam_beta2),
            weight_decay=self.hp.weight_decay,
        )

    def resume(self) -> int:
        """Takes up the newest checkpoint; gives the step it was made after, 0 for a fresh start."""
        self.objective.prepare()
        state, problems = self.store.load()
        for problem in problems:
            self.events.emit("warning", message=problem)
        if state is None:
            return 0
        self.tuned.load(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        self.best_weights = state["best_weights"]
        return self.progress.step

    def run(self) -> None:
        """Trains to the end. Raises Stopped, with a checkpoint written, when told to stop."""
        try:
            while True:
                self._check()
                # Here and not after the step: a job stopped in the midst of a validation begins with it again.
                if self._validation_is_due():
                    self._validate(self.progress.step)
                if self.progress.step >= self.plan.steps_total or self._patience_is_over():
                    break
                self._one_step(self.progress.step + 1)
        except Stopped:
            # The interrupted step has changed nothing yet: weights change only after its last backward pass.
            self._optimizer.zero_grad(set_to_none=True)
            if self.progress.step > 0:
                self._save()
            raise
        if self.best_weights is None:
            self.progress.best_step = self.progress.step

    def epoch_of(self, step: int) -> int:
        """The epoch (from 1) that a step belongs to."""
        return max(1, math.ceil(step / self.plan.steps_per_epoch))

    def final_weights(self) -> dict[str, torch.Tensor]:
        return self.best_weights if self.best_weights is not None else self.tuned.kept()

    def _one_step(self, step: int) -> None:
        started = time.monotonic()
        indices = self._batches.of_step(step)
        # Dropout draws from the step's own seed: a resumed job draws the same without any kept generator state.
        torch.manual_seed((self.job.seed * 1_000_003 + step) % 2**63)
        weight = self.objective.weight(indices)
        total, right = 0.0, 0.0
        for group in self.objective.groups(indices):
            loss, correct = self.objective.loss(group)
            # Divided by the weight of the whole step, every token (or pair) weighs the same however rows are grouped.
            (loss / weight).backward()
            total += loss.item()
            right += correct
        if not math.isfinite(total):
            raise JobError("diverged", f"the loss became {total} at step {step}: use a lower learning_rate")
        torch.nn.utils.clip_grad_norm_(self._params, self.hp.max_grad_norm)
        rate = learning_rate(step, self.plan, self.hp)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        seconds = time.monotonic() - started
        self._train_seconds += seconds
        self._rows_done += len(indices)
        self._after_step(step, [total, weight, len(indices), right], rate, seconds)

    def _after_step(self, step: int, sums: list[float], rate: float, seconds: float) -> None:
        window = [old + new for old, new in zip(self.progress.window, sums, strict=True)]
        self.progress.window = window
        last = step == self.plan.steps_total
        logged = step % self.hp.log_every_n_steps == 0 or last
        if logged:
            self.progress.train_loss = window[0] / window[1]
            self.progress.window = [0.0, 0.0, 0.0, 0.0]
        epoch_ends = step % self.plan.steps_per_epoch == 0
        if logged or epoch_ends or time.monotonic() - self._told_at >= PROGRESS_EVERY_S:
            right = window[3] / window[2] if logged and self.objective.counts_right else None
            self._tell(step, rate, self.progress.train_loss if logged else None, right)
        self.progress.step = step
        # Should the next step take as long as this one, the kept state would be older than it may be.
        asked = self.job.checkpoint_interval_s
        interval = max(asked, min(10 * asked, self._save_seconds / SAVING_SHARE))
        if not last and time.monotonic() + seconds - self._saved_at >= interval:
            self._save()

    def _validation_is_due(self) -> bool:
        step, every = self.progress.step, self.plan.validate_every
        if not self.objective.validation or step == 0 or step == self.progress.validated_step:
            return False
        ends = step % self.plan.steps_per_epoch == 0 or step == self.plan.steps_total
        return ends or (every is not None and step % every == 0)

    def _tell(self, step: int, rate: float, train_loss: float | None, right: float | None) -> None:
        self._told_at = time.monotonic()
        self.events.emit(
            "progress",
            step=step,
            steps_total=self.plan.steps_total,
            epoch=round(step / self.plan.steps_per_epoch, 4),
            epochs_completed=step // self.plan.steps_per_epoch,
            train_loss=train_loss,
            train_accuracy=right,
            lr=rate,
            rows_per_s=round(self._rows_done / self._train_seconds, 3) if self._train_seconds > 0 else None,
        )

    def _validate(self, step: int) -> None:
        objective = self.objective
        rows = list(range(len(objective.validation)))
        total, right = 0.0, 0.0
        self.model.eval()
        try:
            with torch.no_grad():
                for group in objective.groups(rows, validation=True):
                    loss, correct = objective.loss(group, validation=True)
                    total += loss.item()
                    right += correct
        finally:
            self.model.train()
        value = total / objective.weight(rows, validation=True)
        accuracy = right / len(rows) if objective.counts_right else None
        progress = self.progress
        progress.val_loss, progress.validated_step = value, step
        epoch_ends = step % self.plan.steps_per_epoch == 0
        epoch = round(step / self.plan.steps_per_epoch, 4)
        self.events.emit("validation", step=step, epoch=epoch, val_loss=value, val_accuracy=accuracy)
        if progress.best_val_loss is None or value < progress.best_val_loss:
            progress.best_val_loss, progress.best_step = value, step
            self.best_weights = self.tuned.kept()
        if epoch_ends and (progress.patience_loss is None or value < progress.patience_loss - MIN_DELTA):
            progress.patience_loss, progress.patience_epoch = value, self.epoch_of(step)

    def _patience_is_over(self) -> bool:
        if self.progress.patience_loss is None:
            return False
        over = self.epoch_of(self.progress.step) - self.progress.patience_epoch >= PATIENCE_EPOCHS
        if over and self.progress.step % self.plan.steps_per_epoch == 0:
            self.events.emit("log", level="info", message=f"stopped early: no better for {PATIENCE_EPOCHS} epochs")
            return True
        return False

    def _save(self) -> None:
        begun = time.monotonic()
        state: dict[str, Any] = {
            "weights": self.tuned.weights(),
            "optimizer": self._optimizer.state_dict(),
            "progress": vars(self.progress),
            "best_weights": self.best_weights,
        }
        self.store.save(self.progress.step, state)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - begun
        self.events.emit("checkpoint", step=self.progress.step)
