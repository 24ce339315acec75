# SPDX-License-Identifier: Apache-2.0
"""From text with trained stretches to token ids with labels. Needs a tokenizer, no PyTorch."""

from dataclasses import dataclass
from typing import Any

from .errors import JobError
from .rows import Example


@dataclass(frozen=True)
class Row:
    """Token ids, and which of them carry loss (`trained[i]` says that token i is predicted and counted)."""

    ids: list[int]
    trained: list[bool]

    @property
    def trained_count(self) -> int:
        return sum(self.trained)


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, the better one and the worse one."""

    chosen: Row
    rejected: Row

    def __len__(self) -> int:
        return 2 * max(len(self.chosen.ids), len(self.rejected.ids))


def encode_pairs(
    examples: list[tuple[Example, Example]], tokenizer: Any, max_length: int
) -> tuple[list[Pair], list[str]]:
    """Encodes chosen and rejected examples; the rest as `encode_all`."""
    chosen, cut = encode_all([each for each, _ in examples], tokenizer, max_length)
    rejected, more = encode_all([each for _, each in examples], tokenizer, max_length)
    pairs = [Pair(*both) for both in zip(chosen, rejected, strict=True)]
    either = {*cut, *more}
    return pairs, [each.where for each, _ in examples if each.where in either]


def encode_all(examples: list[Example], tokenizer: Any, max_length: int) -> tuple[list[Row], list[str]]:
    """Encodes the examples; also gives where rows were cut at `max_length` tokens.

    A row is cut at its end. When nothing that is trained would remain, because the prompt alone is too long, this
    raises JobError `invalid_data` naming file and line.
    """
    rows, cut = [], []
    for example in examples:
        row = encode(example, tokenizer)
        if len(row.ids) > max_length:
            row = Row(row.ids[:max_length], row.trained[:max_length])
            cut.append(example.where)
        # The first token is never predicted.
        if not any(row.trained[1:]):
            raise JobError(
                "invalid_data",
                f"{example.where}: the prompt alone fills max_seq_length ({max_length} tokens): nothing is left to "
                "train. Shorten the prompt or use a config with a longer max_seq_length",
            )
        rows.append(row)
    return rows, cut


def encode(example: Example, tokenizer: Any) -> Row:
    """A trained stretch begins where the tokens of the text before it end, which is where generation would begin."""
    ids = _ids(tokenizer, example.text, example.special)
    # Tokenizers that add an end token of their own: it is appended below where it is wanted.
    if example.special and ids and ids[-1] == tokenizer.eos_token_id and not _ends_with_eos(example.text, tokenizer):
        ids = ids[:-1]
    trained = [False] * len(ids)
    for start, end in example.spans:
        first = _common(ids, _ids(tokenizer, example.text[:start], example.special))
        last = len(ids) if end >= len(example.text) else _common(ids, _ids(tokenizer, example.text[:end], example.special))
        for i in range(first, last):
            trained[i] = True
    if example.append_eos:
        ids, trained = [*ids, tokenizer.eos_token_id], [*trained, True]
    return Row(ids, trained)


def _ids(tokenizer: Any, text: str, special: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])


def _ends_with_eos(text: str, tokenizer: Any) -> bool:
    return bool(tokenizer.eos_token) and text.endswith(tokenizer.eos_token)


def _common(a: list[int], b: list[int]) -> int:
    n = 0
    while n < len(a) and n < len(b) and a[n] == b[n]:
        n += 1
    return n
