# SPDX-License-Identifier: Apache-2.0
"""Dataset rows: from lines of JSON to text with the stretches that are trained. Needs no PyTorch."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import JobError

if TYPE_CHECKING:
    from .templates import ChatTemplate


@dataclass(frozen=True)
class Example:
    """A row as text. `spans` are the character ranges that carry loss; `append_eos` ends it with the end token.

    `special` tells whether the tokenizer adds its own special tokens: a chat template has written them already.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    append_eos: bool
    special: bool
    where: str


def read_examples(paths: tuple[str, ...], prompt_template: str, chat: "ChatTemplate | None", eos: str) -> list[Example]:
    """All rows of the JSONL files, in order. Raises JobError `invalid_data` naming file and line."""
    examples = []
    for path in paths:
        count = len(examples)
        for where, row in read_lines(path):
            examples.append(example_of_row(row, where, prompt_template, chat, eos))
        if len(examples) == count:
            raise _bad(shown(path), "the file has no rows")
    return examples


def example_of_row(row: Any, where: str, prompt_template: str, chat: "ChatTemplate | None", eos: str) -> Example:
    if not isinstance(row, dict):
        raise _bad(where, "the line is not a JSON object")
    if "messages" in row:
        if chat is None:
            raise _bad(where, "the row has messages, but the model has no chat template")
        return chat_example(row, where, chat, eos)
    return completion_example(row, where, prompt_template)


def completion_example(row: dict[str, Any], where: str, prompt_template: str) -> Example:
    """Renders the prompt template; the last field of it is the completion and is what is trained."""
    fields = list(re.finditer(r"\{(\w+)\}", prompt_template))
    if not fields:
        raise JobError("invalid_job", f"prompt_template {prompt_template!r} has no {{field}}")
    text, at, start, end = "", 0, 0, 0
    for match in fields:
        text += prompt_template[at : match.start()]
        value = _field(row, match.group(1), where)
        start, end = len(text), len(text) + len(value)
        text += value
        at = match.end()
    text += prompt_template[at:]
    if at < len(prompt_template):
        end = len(text)
    # A space before the completion belongs to its first token, as it does when a client sends the bare prompt.
    while start > 0 and text[start - 1] == " ":
        start -= 1
    return Example(text=text, spans=((start, end),), append_eos=True, special=True, where=where)


def chat_example(row: dict[str, Any], where: str, chat: "ChatTemplate", eos: str) -> Example:
    """Renders the conversation; what the assistant says in each of its turns is trained, end token included."""
    messages, tools = _messages(row["messages"], where), row.get("tools")
    if tools is not None and not isinstance(tools, list):
        raise _bad(where, "tools is not a list")
    turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    if not turns:
        raise _bad(where, "messages has no assistant turn to learn from")
    try:
        full = chat.render(messages[: turns[-1] + 1], tools)
        spans = []
        for i in turns:
            prompt = chat.render(messages[:i], tools, add_generation_prompt=True)
            upto = chat.render(messages[: i + 1], tools)
            # Templates that rewrite earlier turns (to drop reasoning, say) leave only the last one as it was said.
            if full.startswith(upto) and upto.startswith(prompt):
                spans.append((len(prompt), _end_of_turn(upto, eos)))
    except ValueError as error:
        raise _bad(where, str(error)) from error
    if not spans:
        raise _bad(where, "the chat template does not continue its own generation prompt with the assistant's turn")
    text = full[: spans[-1][1]]
    # Without an end token in the template, the model would never learn to stop.
    append = not (eos and text.endswith(eos))
    return Example(text=text, spans=tuple(spans), append_eos=append, special=False, where=where)


# What a template writes after the end token (a line break) is not generated, so it is not trained.
def _end_of_turn(text: str, eos: str) -> int:
    stripped = text.rstrip()
    return len(stripped) if eos and stripped.endswith(eos) else len(text)


def _messages(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise _bad(where, "messages is not a list of at least one message")
    for i, message in enumerate(value):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _bad(where, f"messages[{i}] is not an object with a role")
        content, calls = message.get("content"), message.get("tool_calls")
        if content is not None and not isinstance(content, (str, list)):
            raise _bad(where, f"messages[{i}].content is neither text nor null")
        if content is None and not calls:
            if message["role"] == "assistant" or "content" not in message:
                raise _bad(where, f"messages[{i}] has neither content nor tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise _bad(where, f"messages[{i}].tool_calls is not a list")
    return value


def _field(row: dict[str, Any], name: str, where: str) -> str:
    if name not in row:
        keys = ", ".join(map(str, row)) or "none"
        raise _bad(where, f'the row has no field "{name}" (it has: {keys})')
    value = row[name]
    if not isinstance(value, str):
        raise _bad(where, f'the field "{name}" is not a string')
    return value


def shown(path: str) -> str:
    """A file by its folder and name: training/a.jsonl and validation/a.jsonl must not look alike."""
    return "/".join(os.path.normpath(path).split(os.sep)[-2:])


def read_lines(path: str) -> Iterator[tuple[str, Any]]:
    """The rows of a JSONL file, each with its file and line. Raises JobError `invalid_data` naming them."""
    name = shown(path)
    try:
        file = open(path, "rb")
    except OSError as error:
        raise _bad(name, f"the file cannot be opened: {error.strerror}") from error
    with file:
        for number, line in enumerate(file, 1):
            where = f"{name}, line {number}"
            if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            if not line.strip():
                continue
            try:
                yield where, json.loads(line.decode("utf-8"), parse_float=_float)
            except UnicodeDecodeError as error:
                raise _bad(where, f"the line is not UTF-8 (byte {error.start + 1})") from error
            except (ValueError, RecursionError) as error:
                raise _bad(where, f"the line is not JSON: {error}") from error


# JavaScript, which renders the same templates when serving, has no 1.0: it writes 1.
def _float(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _bad(where: str, reason: str) -> JobError:
    return JobError("invalid_data", f"{where}: {reason}")
