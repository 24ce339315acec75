# SPDX-License-Identifier: Apache-2.0
"""Rows of preference data: a prompt with a better and a worse answer. Needs no PyTorch."""

import re
from typing import TYPE_CHECKING, Any

from .errors import JobError
from .rows import Example, example_of_row, read_lines, shown

if TYPE_CHECKING:
    from .templates import ChatTemplate

# NeMo's names first, then those of the data sets that TRL reads.
CHOSEN = ("chosen_response", "chosen")
REJECTED = ("rejected_response", "rejected")


def read_pairs(
    paths: tuple[str, ...], prompt_template: str, chat: "ChatTemplate | None", eos: str
) -> list[tuple[Example, Example]]:
    """All pairs of the JSONL files, in order. Raises JobError `invalid_data` naming file and line."""
    pairs = []
    for path in paths:
        count = len(pairs)
        for where, row in read_lines(path):
            pairs.append(pair_of_row(row, where, prompt_template, chat, eos))
        if len(pairs) == count:
            raise _bad(shown(path), "the file has no rows")
    return pairs


def pair_of_row(
    row: Any, where: str, prompt_template: str, chat: "ChatTemplate | None", eos: str
) -> tuple[Example, Example]:
    """The row's prompt with each of its answers; only the answers carry loss.

    A prompt of text goes through the prompt template, as rows of supervised training do; a prompt that is a list of
    messages goes through the chat template, with the answers as the assistant's next turn.
    """
    if not isinstance(row, dict):
        raise _bad(where, "the line is not a JSON object")
    fields = prompt_fields(prompt_template)
    prompt = row.get("prompt", "")
    answers = [_answer(row, names, where) for names in (CHOSEN, REJECTED)]
    if isinstance(prompt, list) or any(isinstance(each, list) for each in answers):
        examples = [_chat_row(row, prompt, each, where) for each in answers]
    else:
        # The template's last field is the answer, whatever it is called there.
        examples = [{**row, fields[-1]: each} for each in answers]
    chosen, rejected = (_last_turn(example_of_row(each, where, prompt_template, chat, eos)) for each in examples)
    if chosen.text == rejected.text:
        raise _bad(where, "the chosen and the rejected answer are the same")
    return chosen, rejected


def prompt_fields(prompt_template: str) -> list[str]:
    fields = re.findall(r"\{(\w+)\}", prompt_template)
    if not fields:
        raise JobError("invalid_job", f"prompt_template {prompt_template!r} has no {{field}}")
    return fields


def _answer(row: dict[str, Any], names: tuple[str, ...], where: str) -> Any:
    found = [name for name in names if name in row]
    if not found:
        keys = ", ".join(map(str, row)) or "none"
        raise _bad(where, f'the row has no field "{names[0]}" (it has: {keys})')
    value = row[found[0]]
    if not isinstance(value, (str, list, dict)) or not value:
        raise _bad(where, f'the field "{found[0]}" is neither text nor a message')
    return value


def _chat_row(row: dict[str, Any], prompt: Any, answer: Any, where: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) and prompt else prompt or []
    if not isinstance(messages, list):
        raise _bad(where, 'the field "prompt" is neither text nor a list of messages')
    if isinstance(answer, str):
        turns: Any = [{"role": "assistant", "content": answer}]
    else:
        turns = [answer] if isinstance(answer, dict) else answer
    # Some data sets repeat the whole conversation in each answer.
    if len(turns) > len(messages) and turns[: len(messages)] == messages:
        turns = turns[len(messages) :]
    return {**row, "messages": [*messages, *turns]}


# Earlier turns of the assistant are the same in both answers, so they teach nothing.
def _last_turn(example: Example) -> Example:
    return Example(example.text, example.spans[-1:], example.append_eos, example.special, example.where)


def _bad(where: str, reason: str) -> JobError:
    return JobError("invalid_data", f"{where}: {reason}")
