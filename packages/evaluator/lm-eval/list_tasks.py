# SPDX-License-Identifier: Apache-2.0
"""Writes tasks.txt.gz: the tasks, groups and tags of the installed lm-eval, each with what it asks of a model.

A line is `name letters`: g for generated text, l for log-probabilities of answers, r for those of whole texts,
u for running code that the model wrote, ? for what only the task's own program knows, and G for a group or tag,
which has the letters of all that is in it.
"""

import gzip
import pathlib

from lm_eval.tasks import TaskManager

LETTERS = {"generate_until": "g", "loglikelihood": "l", "multiple_choice": "l", "loglikelihood_rolling": "r"}
manager = TaskManager()
index = manager.task_index
tagged: dict[str, list[str]] = {}
for name, entry in index.items():
    for tag in entry.tags or ():
        tagged.setdefault(tag, []).append(name)


def of_config(config: dict) -> set[str]:
    letters = {LETTERS.get(config.get("output_type", "generate_until"), "?")}
    return letters | {"u"} if config.get("unsafe_code") else letters


def letters_of(name: str, seen: frozenset[str] = frozenset()) -> set[str]:
    entry = index.get(name)
    if entry is None or name in seen:
        return {"?"}
    kind = entry.kind.name
    if kind == "TASK":
        return of_config(entry.cfg)
    if kind == "PY_TASK":
        return {"?"}
    found = {"G"}
    members = tagged.get(name, []) if kind == "TAG" else entry.cfg.get("task") or []
    for member in [members] if isinstance(members, str) else members:
        if isinstance(member, dict):
            found |= of_config(member) if "output_type" in member else letters_of(str(member.get("task")), seen | {name})
        else:
            found |= letters_of(member, seen | {name})
    return found


lines = [f"{name} {''.join(sorted(letters_of(name)))}" for name in sorted(index)]
path = pathlib.Path(__file__).with_name("tasks.txt.gz")
path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", mtime=0))
print(f"{len(lines)} names, {path.stat().st_size} bytes")
