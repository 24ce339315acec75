# SPDX-License-Identifier: Apache-2.0
"""A tokenizer small enough to read: a space joins the word behind it, special tokens stand alone."""

import re

PATTERN = re.compile(r"<\|im_start\|>|<\|im_end\|>| ?\w+|\s|[^\w\s]")


class FakeTokenizer:
    eos_token = "<|im_end|>"
    bos_token = "<|im_start|>"

    def __init__(self, adds_bos: bool = False, adds_eos: bool = False) -> None:
        self.vocabulary: list[str] = [self.bos_token, self.eos_token]
        self._adds_bos, self._adds_eos = adds_bos, adds_eos

    @property
    def eos_token_id(self) -> int:
        return 1

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        ids = [self._id(piece) for piece in PATTERN.findall(text)]
        if add_special_tokens and self._adds_bos:
            ids = [0, *ids]
        if add_special_tokens and self._adds_eos:
            ids = [*ids, 1]
        return {"input_ids": ids}

    def _id(self, piece: str) -> int:
        if piece not in self.vocabulary:
            self.vocabulary.append(piece)
        return self.vocabulary.index(piece)

    def trained_text(self, row) -> str:
        return "".join(self.vocabulary[i] for i, on in zip(row.ids, row.trained, strict=True) if on)

    def text(self, row) -> str:
        return "".join(self.vocabulary[i] for i in row.ids)
