# SPDX-License-Identifier: Apache-2.0
"""`job.json`, checked: a wrong value is named before anything heavy is loaded."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

from .errors import JobError
from .fields import dropout, flag, fraction, number, paths, text

OPTIMIZERS = (
    "adamw_with_cosine_annealing",
    "adam_with_cosine_annealing",
    "adamw_with_flat_lr",
    "adam_with_flat_lr",
)
TRAINING_TYPES = ("sft", "dpo")
FINETUNING_TYPES = ("lora", "lora_merged", "all_weights")
TASKS = ("generation", "embedding")
STRATEGIES = ("first", "random")


@dataclass(frozen=True)
class Lora:
    adapter_dim: int = 8
    alpha: float = 16
    adapter_dropout: float = 0.0
    target_modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dpo:
    """The API's parameters of preference training; `ref_policy_kl_penalty` is the paper's beta."""

    ref_policy_kl_penalty: float = 0.05
    preference_loss_weight: float = 1.0
    preference_average_log_probs: bool = False
    sft_loss_weight: float = 0.0
    sft_average_log_probs: bool = False
    max_grad_norm: float = 1.0


@dataclass(frozen=True)
class Negatives:
    """The API's `dataset_parameters` of embedding models: what a query's document is told apart from."""

    in_batch_negatives: bool = True
    num_hard_negatives: int | None = None
    """Documents of a row's `neg_doc` that are used; all of them when None."""
    negative_sample_strategy: str = "first"


@dataclass(frozen=True)
class Hyperparameters:
    training_type: str = "sft"
    finetuning_type: str = "lora"
    epochs: int = 1
    batch_size: int = 8
    learning_rate: float = 1e-4
    micro_batch_size: int | None = None
    max_steps: int = -1
    warmup_steps: int | None = None
    weight_decay: float = 0.01
    optimizer: str = OPTIMIZERS[0]
    adam_beta1: float = 0.9
    adam_beta2: float = 0.99
    min_learning_rate: float = 0.0
    log_every_n_steps: int = 10
    val_check_interval: float | None = None
    sequence_packing_enabled: bool = False
    attention_dropout: float | None = None
    """The model's own dropout when None; so is the other one's."""
    hidden_dropout: float | None = None
    max_grad_norm: float = 1.0
    lora: Lora = field(default_factory=Lora)
    dpo: Dpo = field(default_factory=Dpo)


@dataclass(frozen=True)
class Job:
    job_id: str
    model_dir: str
    base_model: str
    chat_template_file: str | None
    training_files: tuple[str, ...]
    validation_files: tuple[str, ...]
    prompt_template: str
    max_seq_length: int
    seed: int
    task: str
    hyperparameters: Hyperparameters
    negatives: Negatives
    checkpoint_interval_s: float
    threads: int
    precision: str
    fingerprint: str


def load_job(workdir: str) -> Job:
    """Reads and checks `job.json` in `workdir`. Raises JobError `invalid_job` naming the field."""
    path = os.path.join(workdir, "job.json")
    try:
        with open(path, encoding="utf-8") as file:
            raw = json.load(file)
    except (OSError, ValueError) as error:
        raise JobError("invalid_job", f"job.json cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise JobError("invalid_job", "job.json must be an object")
    return parse_job(raw)


def parse_job(raw: dict[str, Any]) -> Job:
    training = paths(raw, "training_files")
    if not training:
        raise JobError("invalid_job", "training_files names no file")
    template = text(raw, "prompt_template", "{prompt} {completion}")
    model_dir = text(raw, "model_dir")
    task = text(raw, "task", TASKS[0])
    if task not in TASKS:
        raise JobError("invalid_job", f"task is {task!r}: it must be one of {', '.join(TASKS)}")
    hyperparameters = _hyperparameters(raw.get("hyperparameters") or {}, task)
    precision = text(raw, "precision", "auto")
    if precision not in ("auto", "fp32", "bf16"):
        raise JobError("invalid_job", f"precision is {precision!r}: it must be auto, fp32 or bf16")
    identity = {key: raw.get(key) for key in sorted(raw) if key not in ("threads", "checkpoint_interval_s", "job_id")}
    return Job(
        job_id=text(raw, "job_id", ""),
        model_dir=model_dir,
        base_model=text(raw, "base_model", os.path.basename(os.path.normpath(model_dir))),
        chat_template_file=raw.get("chat_template_file"),
        training_files=training,
        validation_files=paths(raw, "validation_files"),
        prompt_template=template,
        max_seq_length=int(number(raw, "max_seq_length", 2048, minimum=8)),
        seed=int(number(raw, "seed", 42)),
        task=task,
        hyperparameters=hyperparameters,
        negatives=_negatives(raw.get("dataset_parameters") or {}),
        checkpoint_interval_s=number(raw, "checkpoint_interval_s", 60, minimum=0),
        threads=int(number(raw, "threads", os.cpu_count() or 1, minimum=1)),
        precision=precision,
        fingerprint=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
    )


def _hyperparameters(raw: dict[str, Any], task: str) -> Hyperparameters:
    finetuning, training = raw.get("finetuning_type") or "lora", raw.get("training_type") or "sft"
    if finetuning not in FINETUNING_TYPES or training not in TRAINING_TYPES:
        raise JobError(
            "unsupported",
            f"{training} with {finetuning} is not supported: use {' or '.join(TRAINING_TYPES)} with "
            f"{', '.join(FINETUNING_TYPES)}",
        )
    if task == "embedding" and (training != "sft" or finetuning == "lora"):
        raise JobError(
            "unsupported",
            f"{training} with {finetuning} does not tune an embedding model: use sft with lora_merged or all_weights",
        )
    default = Hyperparameters()
    sft, dpo = raw.get("sft") or {}, _dpo(raw.get("dpo") or {})
    rate = number(raw, "learning_rate", default.learning_rate)
    if rate <= 0:
        raise JobError("invalid_job", f"learning_rate is {rate}: it must be above 0")
    low = number(raw, "min_learning_rate", 0, minimum=0) or 0.1 * rate
    if low > rate:
        raise JobError("invalid_job", f"min_learning_rate {low} is above learning_rate {rate}")
    optimizer = raw.get("optimizer") or default.optimizer
    if optimizer not in OPTIMIZERS:
        raise JobError("invalid_job", f"optimizer is {optimizer!r}: it must be one of {', '.join(OPTIMIZERS)}")
    micro = raw.get("micro_batch_size")
    warmup = raw.get("warmup_steps")
    interval = raw.get("val_check_interval")
    return Hyperparameters(
        training_type=training,
        finetuning_type=finetuning,
        epochs=int(number(raw, "epochs", default.epochs, minimum=1)),
        batch_size=int(number(raw, "batch_size", default.batch_size, minimum=1)),
        learning_rate=rate,
        micro_batch_size=None if micro is None else int(number(raw, "micro_batch_size", 1, minimum=1)),
        max_steps=int(number(raw, "max_steps", default.max_steps)),
        warmup_steps=None if warmup is None else int(number(raw, "warmup_steps", 0, minimum=0)),
        weight_decay=number(raw, "weight_decay", default.weight_decay, minimum=0),
        optimizer=optimizer,
        adam_beta1=fraction(raw, "adam_beta1", default.adam_beta1),
        adam_beta2=fraction(raw, "adam_beta2", default.adam_beta2),
        min_learning_rate=low,
        log_every_n_steps=int(number(raw, "log_every_n_steps", default.log_every_n_steps, minimum=1)),
        val_check_interval=None if interval is None else number(raw, "val_check_interval", 1, minimum=0),
        sequence_packing_enabled=flag(raw, "sequence_packing_enabled", False),
        attention_dropout=_dropout(sft, "attention_dropout") if training == "sft" else None,
        hidden_dropout=_dropout(sft, "hidden_dropout") if training == "sft" else None,
        max_grad_norm=dpo.max_grad_norm if training == "dpo" else default.max_grad_norm,
        lora=_lora(raw.get("lora") or {}),
        dpo=dpo,
    )


def _dpo(raw: dict[str, Any]) -> Dpo:
    default = Dpo()
    norm = number(raw, "max_grad_norm", default.max_grad_norm)
    if norm <= 0:
        raise JobError("invalid_job", f"dpo.max_grad_norm is {norm}: it must be above 0")
    return Dpo(
        ref_policy_kl_penalty=number(raw, "ref_policy_kl_penalty", default.ref_policy_kl_penalty, minimum=0),
        preference_loss_weight=number(raw, "preference_loss_weight", default.preference_loss_weight, minimum=0),
        preference_average_log_probs=flag(raw, "preference_average_log_probs", False),
        sft_loss_weight=number(raw, "sft_loss_weight", default.sft_loss_weight, minimum=0),
        sft_average_log_probs=flag(raw, "sft_average_log_probs", False),
        max_grad_norm=norm,
    )


def _lora(raw: dict[str, Any]) -> Lora:
    default = Lora()
    targets = raw.get("target_modules") or ()
    if isinstance(targets, str) or not all(isinstance(each, str) and each for each in targets):
        raise JobError("invalid_job", "lora.target_modules must be a list of names")
    return Lora(
        adapter_dim=int(number(raw, "adapter_dim", default.adapter_dim, minimum=1)),
        alpha=number(raw, "alpha", default.alpha),
        adapter_dropout=dropout(raw, "adapter_dropout", default.adapter_dropout),
        target_modules=tuple(targets),
    )


def _negatives(raw: dict[str, Any]) -> Negatives:
    count = raw.get("num_hard_negatives")
    strategy = text(raw, "negative_sample_strategy", STRATEGIES[0])
    if strategy not in STRATEGIES:
        raise JobError("invalid_job", f"negative_sample_strategy is {strategy!r}: it must be first or random")
    return Negatives(
        in_batch_negatives=flag(raw, "in_batch_negatives", True),
        num_hard_negatives=None if count is None else int(number(raw, "num_hard_negatives", 0, minimum=0)),
        negative_sample_strategy=strategy,
    )


def _dropout(raw: dict[str, Any], key: str) -> float | None:
    return None if raw.get(key) is None else dropout(raw, key, 0.0)
