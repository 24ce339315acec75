# SPDX-License-Identifier: Apache-2.0
"""The training loop: one job from its first or last kept step to its end."""

import math
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict

from .encode import Row
from .errors import JobError, Stopped
from .events import EventLog
from .job import Job
from .model import collate, summed_loss, watch_layers
from .schedule import Batches, Plan, learning_rate, make_plan, micro_batches
from .store import CheckpointStore

# Padded tokens in one pass. More makes a pass hardly faster on a CPU, and each takes memory for its logits.
TRAIN_TOKENS = 1024
VALIDATION_TOKENS = 2048
MAX_GRAD_NORM = 1.0
PROGRESS_EVERY_S = 2.0
# NeMo's early stopping: so many epochs without an improvement of at least this much end the training.
PATIENCE_EPOCHS = 10
MIN_DELTA = 0.001


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
    """Loss and number of trained tokens since the last logged point."""
    window: list[float] = field(default_factory=lambda: [0.0, 0.0])


class Loop:
    def __init__(
        self, job: Job, model: PeftModel, rows: list[Row], validation: list[Row], pad: int, events: EventLog,
        store: CheckpointStore, stop: threading.Event,
    ) -> None:
        self.job, self.hp, self.model, self.events, self.store = job, job.hyperparameters, model, events, store
        self.rows, self.validation, self.pad = rows, validation, pad
        self.plan: Plan = make_plan(len(rows), self.hp)
        self.progress = Progress()
        self.best_weights: dict[str, torch.Tensor] | None = None
        self._stop = stop
        self._batches = Batches(self.plan, job.seed)
        self._lengths = [len(row.ids) for row in rows]
        self._params = [each for each in model.parameters() if each.requires_grad]
        self._optimizer = self._make_optimizer()
        self._saved_at = time.monotonic()
        self._told_at = 0.0
        self._rows_done = 0
        self._train_seconds = 0.0
        watch_layers(model, self._check)

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
        state, problems = self.store.load()
        for problem in problems:
            self.events.emit("warning", message=problem)
        if state is None:
            return 0
        set_peft_model_state_dict(self.model, state["weights"])
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
        return self.best_weights if self.best_weights is not None else self._weights()

    def _one_step(self, step: int) -> None:
        started = time.monotonic()
        indices = self._batches.of_step(step)
        # Dropout draws from the step's own seed: a resumed job draws the same without any kept generator state.
        torch.manual_seed((self.job.seed * 1_000_003 + step) % 2**63)
        tokens = sum(self.rows[i].trained_count for i in indices)
        total = 0.0
        for group in micro_batches(indices, self._lengths, TRAIN_TOKENS, self.hp.micro_batch_size):
            loss = summed_loss(self.model, *collate([self.rows[i] for i in group], self.pad))
            # Divided by the tokens of the whole step, every trained token weighs the same however rows are grouped.
            (loss / tokens).backward()
            total += loss.item()
        if not math.isfinite(total):
            raise JobError("diverged", f"the loss became {total} at step {step}: use a lower learning_rate")
        torch.nn.utils.clip_grad_norm_(self._params, MAX_GRAD_NORM)
        rate = learning_rate(step, self.plan, self.hp)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        seconds = time.monotonic() - started
        self._train_seconds += seconds
        self._rows_done += len(indices)
        self._after_step(step, total, tokens, rate, seconds)

    def _after_step(self, step: int, loss_sum: float, tokens: int, rate: float, seconds: float) -> None:
        self.progress.window[0] += loss_sum
        self.progress.window[1] += tokens
        last = step == self.plan.steps_total
        logged = step % self.hp.log_every_n_steps == 0 or last
        if logged:
            self.progress.train_loss = self.progress.window[0] / self.progress.window[1]
            self.progress.window = [0.0, 0.0]
        epoch_ends = step % self.plan.steps_per_epoch == 0
        if logged or epoch_ends or time.monotonic() - self._told_at >= PROGRESS_EVERY_S:
            self._tell(step, rate, self.progress.train_loss if logged else None)
        self.progress.step = step
        # Should the next step take as long as this one, the kept state would be older than it may be.
        if not last and time.monotonic() + seconds - self._saved_at >= self.job.checkpoint_interval_s:
            self._save()

    def _validation_is_due(self) -> bool:
        step, every = self.progress.step, self.plan.validate_every
        if not self.validation or step == 0 or step == self.progress.validated_step:
            return False
        ends = step % self.plan.steps_per_epoch == 0 or step == self.plan.steps_total
        return ends or (every is not None and step % every == 0)

    def _tell(self, step: int, rate: float, train_loss: float | None) -> None:
        self._told_at = time.monotonic()
        self.events.emit(
            "progress",
            step=step,
            steps_total=self.plan.steps_total,
            epoch=round(step / self.plan.steps_per_epoch, 4),
            epochs_completed=step // self.plan.steps_per_epoch,
            train_loss=train_loss,
            lr=rate,
            rows_per_s=round(self._rows_done / self._train_seconds, 3) if self._train_seconds > 0 else None,
        )

    def _validate(self, step: int) -> None:
        lengths = [len(row.ids) for row in self.validation]
        total, tokens = 0.0, 0
        self.model.eval()
        try:
            with torch.no_grad():
                for group in micro_batches(list(range(len(lengths))), lengths, VALIDATION_TOKENS):
                    batch = [self.validation[i] for i in group]
                    total += summed_loss(self.model, *collate(batch, self.pad)).item()
                    tokens += sum(row.trained_count for row in batch)
        finally:
            self.model.train()
        value = total / tokens
        progress = self.progress
        progress.val_loss, progress.validated_step = value, step
        epoch_ends = step % self.plan.steps_per_epoch == 0
        self.events.emit("validation", step=step, epoch=round(step / self.plan.steps_per_epoch, 4), val_loss=value)
        if progress.best_val_loss is None or value < progress.best_val_loss:
            progress.best_val_loss, progress.best_step = value, step
            self.best_weights = {name: tensor.clone() for name, tensor in self._weights().items()}
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

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: each.detach().cpu() for name, each in get_peft_model_state_dict(self.model).items()}

    def _save(self) -> None:
        state: dict[str, Any] = {
            "weights": self._weights(),
            "optimizer": self._optimizer.state_dict(),
            "progress": vars(self.progress),
            "best_weights": self.best_weights,
        }
        self.store.save(self.progress.step, state)
        self._saved_at = time.monotonic()
        self.events.emit("checkpoint", step=self.progress.step)
