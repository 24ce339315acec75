# SPDX-License-Identifier: Apache-2.0
"""The job's rows, read and encoded. Needs transformers' tokenizers, no PyTorch."""

from typing import Any

from .encode import Pair, Row, encode_all, encode_pairs
from .errors import JobError
from .job import Job
from .preferences import read_pairs
from .rows import read_examples
from .templates import ChatTemplate
from .triplets import Triplet, encode_triplets, read_triplets

NAMED_CUTS = 5


def load_data(job: Job) -> tuple[Any, list[Any], list[Any], list[str]]:
    """Tokenizer, training rows, validation rows and what has to be said of rows that were cut. Rows of preferences
    are pairs, those of embedding models triplets."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(job.model_dir, local_files_only=True)
    except (OSError, ValueError) as error:
        raise JobError("invalid_job", f"the model's tokenizer cannot be read: {error}") from error
    chat = None
    if job.chat_template_file:
        try:
            with open(job.chat_template_file, encoding="utf-8") as file:
                chat = ChatTemplate(file.read(), tokenizer.bos_token or "", tokenizer.eos_token or "")
        except (OSError, ValueError) as error:
            raise JobError("invalid_job", f"the chat template cannot be used: {error}") from error
    encoded, messages = [], []
    for kind, paths in (("training", job.training_files), ("validation", job.validation_files)):
        rows, cut = _encoded(job, paths, chat, tokenizer)
        encoded.append(rows)
        if cut:
            named = "; ".join(cut[:NAMED_CUTS]) + (" and others" if len(cut) > NAMED_CUTS else "")
            messages.append(
                f"{len(cut)} of {len(rows)} {kind} rows are longer than max_seq_length ({_longest(job)} tokens) "
                f"and were cut at their end: {named}"
            )
    return tokenizer, encoded[0], encoded[1], messages


def _encoded(
    job: Job, paths: tuple[str, ...], chat: ChatTemplate | None, tokenizer: Any
) -> tuple[list[Row] | list[Pair] | list[Triplet], list[str]]:
    if job.task == "embedding":
        return encode_triplets(read_triplets(paths, job.negatives, job.seed), tokenizer, _longest(job))
    eos = tokenizer.eos_token or ""
    if job.hyperparameters.training_type == "dpo":
        pairs = read_pairs(paths, job.prompt_template, chat, eos)
        return encode_pairs(pairs, tokenizer, job.max_seq_length)
    return encode_all(read_examples(paths, job.prompt_template, chat, eos), tokenizer, job.max_seq_length)


def _longest(job: Job) -> int:
    """The longest text in tokens: an encoder's positions end, whatever the job asks for."""
    if job.task != "embedding":
        return job.max_seq_length
    from transformers import AutoConfig

    return min(job.max_seq_length, AutoConfig.from_pretrained(job.model_dir).max_position_embeddings)
