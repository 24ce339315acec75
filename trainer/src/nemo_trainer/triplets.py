# SPDX-License-Identifier: Apache-2.0
"""Rows for embedding models: a query, the document that answers it, and documents that do not. Needs no PyTorch."""

import random
from dataclasses import dataclass
from typing import Any

from .errors import JobError
from .job import Negatives
from .rows import read_lines, shown


@dataclass(frozen=True)
class Triplet:
    """Token ids of a query, its document and its hard negatives."""

    query: tuple[int, ...]
    positive: tuple[int, ...]
    negatives: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Texts:
    """The same as text."""

    query: str
    positive: str
    negatives: tuple[str, ...]
    where: str


def read_triplets(paths: tuple[str, ...], negatives: Negatives, seed: int) -> list[Texts]:
    """All rows of the JSONL files, in order. Raises JobError `invalid_data` naming file, line and field."""
    rows: list[Texts] = []
    for path in paths:
        count = len(rows)
        for where, row in read_lines(path):
            texts = triplet_of_row(row, where)
            chosen = _chosen(texts.negatives, negatives, random.Random(f"{seed}/{len(rows)}"))
            rows.append(Texts(texts.query, texts.positive, chosen, where))
        if len(rows) == count:
            raise _bad(shown(path), "the file has no rows")
    return rows


def triplet_of_row(row: Any, where: str) -> Texts:
    if not isinstance(row, dict):
        raise _bad(where, "the line is not a JSON object")
    query, positive = _text(row, "query", where), _text(row, "pos_doc", where)
    given = row.get("neg_doc")
    listed = [] if given is None else [given] if isinstance(given, str) else given
    if not isinstance(listed, list):
        raise _bad(where, 'the field "neg_doc" is not a list of texts')
    for i, each in enumerate(listed):
        if not isinstance(each, str) or not each.strip():
            raise _bad(where, f"neg_doc[{i}] is not a text with something in it")
        if each == positive:
            raise _bad(where, f"neg_doc[{i}] is the same text as pos_doc")
    return Texts(query, positive, tuple(listed), where)


def encode_triplets(texts: list[Texts], tokenizer: Any, max_length: int) -> tuple[list[Triplet], list[str]]:
    """Encodes the rows as the model is asked; also gives where a text was cut at `max_length` tokens."""
    cut: list[str] = []
    rows = []
    for each in texts:
        found = [_ids(tokenizer, text, max_length) for text in (each.query, each.positive, *each.negatives)]
        if any(was_cut for _, was_cut in found):
            cut.append(each.where)
        query, positive, *negatives = (ids for ids, _ in found)
        rows.append(Triplet(query, positive, tuple(negatives)))
    return rows, cut


def _chosen(given: tuple[str, ...], negatives: Negatives, rng: random.Random) -> tuple[str, ...]:
    count = negatives.num_hard_negatives
    if count is None or count >= len(given):
        return given
    if negatives.negative_sample_strategy == "first":
        return given[:count]
    return tuple(rng.sample(given, count))


def _ids(tokenizer: Any, text: str, max_length: int) -> tuple[tuple[int, ...], bool]:
    ids = tokenizer(text)["input_ids"]
    if len(ids) <= max_length:
        return tuple(ids), False
    # The tokenizer keeps its own tokens at the ends.
    return tuple(tokenizer(text, truncation=True, max_length=max_length)["input_ids"]), True


def _text(row: dict[str, Any], name: str, where: str) -> str:
    if name not in row:
        keys = ", ".join(map(str, row)) or "none"
        raise _bad(where, f'the row has no field "{name}" (it has: {keys})')
    value = row[name]
    if not isinstance(value, str) or not value.strip():
        raise _bad(where, f'the field "{name}" is not a text with something in it')
    return value


def _bad(where: str, reason: str) -> JobError:
    return JobError("invalid_data", f"{where}: {reason}")
