# SPDX-License-Identifier: Apache-2.0
"""`python -m nemo_trainer WORKDIR`: runs the job that `WORKDIR/job.json` describes.

Writes `events.jsonl`, `checkpoints/` and, at the end, `output/` there. Ends with 0 only when the job is completed,
with 1 after a `failed` event and with 143 when SIGTERM stopped it. Run again, it goes on from its last checkpoint.
"""

import os
import signal
import sys
import threading
import traceback
from types import FrameType

from .errors import JobError, Stopped
from .events import EventLog
from .job import Job, load_job

STOPPED = 143


class StopSignal:
    """SIGTERM and SIGINT. Before training begins there is nothing to keep, so the process just ends."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.training = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.event.set()
        if not self.training:
            os._exit(STOPPED)


def main(argv: list[str] | None = None) -> int:
    args = sys.argv[1:] if argv is None else argv
    if len(args) != 1:
        print("usage: python -m nemo_trainer WORKDIR", file=sys.stderr)
        return 2
    workdir = args[0]
    stop = StopSignal()
    events = EventLog(os.path.join(workdir, "events.jsonl"))
    try:
        job = load_job(workdir)
        prepare_environment(job)
        run(workdir, job, events, stop)
        return 0
    except Stopped:
        events.emit("log", level="info", message="stopped by a signal; run again to go on")
        return STOPPED
    except JobError as error:
        events.emit("failed", code=error.code, message=error.message, detail=error.detail or None)
    except BaseException as error:
        code, message = describe(error)
        traceback.print_exc()
        events.emit("failed", code=code, message=message, detail=traceback.format_exc(limit=-8))
    finally:
        events.close()
    return 1


def describe(error: BaseException) -> tuple[str, str]:
    """Code and message of an unexpected error; PyTorch tells of missing memory by text only."""
    text = str(error)
    memory = isinstance(error, MemoryError) or any(
        mark in text for mark in ("can't allocate memory", "not enough memory", "out of memory", "bad allocation")
    )
    if memory:
        return "out_of_memory", (
            "the machine has not enough memory for this job: use a config with a shorter max_seq_length, "
            "or give the platform more memory"
        )
    if isinstance(error, OSError) and error.errno == 28:
        return "disk_full", f"the disk is full: {text}"
    return "internal", f"{type(error).__name__}: {text}"


def prepare_environment(job: Job) -> None:
    """Read by the libraries when they are imported, so set first."""
    os.environ["OMP_NUM_THREADS"] = str(job.threads)
    # Spinning threads on a busy machine cost ten times the time.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def run(workdir: str, job: Job, events: EventLog, stop: StopSignal) -> None:
    from .data import load_data

    tokenizer, rows, validation, cut = load_data(job)
    for message in cut:
        events.emit("warning", message=message)

    import torch
    from transformers.utils import logging

    from .loop import Loop
    from .model import load_tuned, pick_device, pick_precision
    from .objective import make_objective
    from .output import write_output
    from .store import CheckpointStore

    logging.disable_progress_bar()
    torch.set_num_threads(job.threads)
    torch.use_deterministic_algorithms(True)
    device = pick_device()
    dtype = pick_precision(job, device)
    tuned = load_tuned(job, device, dtype)
    store = CheckpointStore(os.path.join(workdir, "checkpoints"), f"{job.fingerprint}/{dtype}")
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    stop.training = True
    objective, warning = make_objective(tuned, job, rows, validation, pad)
    if warning:
        events.emit("warning", message=warning)
    loop = Loop(job, tuned, objective, events, store, stop.event)
    resumed = loop.resume()
    events.emit(
        "started",
        steps_total=loop.plan.steps_total,
        steps_per_epoch=loop.plan.steps_per_epoch,
        train_rows=len(rows),
        validation_rows=len(validation),
        resumed_from_step=resumed,
        warmup_steps=loop.plan.warmup_steps,
        device=device.type,
        precision=str(dtype).removeprefix("torch."),
        threads=job.threads,
        trainable_parameters=sum(each.numel() for each in tuned.model.parameters() if each.requires_grad),
    )
    loop.run()
    progress = loop.progress
    val_loss = progress.best_val_loss if progress.best_val_loss is not None else progress.val_loss
    facts = {
        "rows": len(rows),
        "validation_rows": len(validation),
        "steps": progress.step,
        "train_loss": _rounded(progress.train_loss),
        "val_loss": _rounded(val_loss),
    }
    write_output(os.path.join(workdir, "output"), tuned, loop.final_weights(), job, tokenizer, facts)
    events.emit(
        "completed",
        best_epoch=loop.epoch_of(progress.best_step),
        best_step=progress.best_step,
        train_loss=progress.train_loss,
        val_loss=val_loss,
        steps=progress.step,
    )


def _rounded(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    sys.exit(main())
