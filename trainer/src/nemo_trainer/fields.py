# SPDX-License-Identifier: Apache-2.0
"""Fields of a JSON object, checked; a wrong one is a JobError `invalid_job` that names it. Nulls count as absent."""

from typing import Any

from .errors import JobError


def number(raw: dict[str, Any], key: str, default: float, minimum: float | None = None) -> float:
    value = raw.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise JobError("invalid_job", f"{key} is {value!r}: it must be a number")
    if minimum is not None and value < minimum:
        raise JobError("invalid_job", f"{key} is {value}: it must be at least {minimum:g}")
    return value


def flag(raw: dict[str, Any], key: str, default: bool) -> bool:
    value = raw.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise JobError("invalid_job", f"{key} is {value!r}: it must be true or false")
    return value


def fraction(raw: dict[str, Any], key: str, default: float) -> float:
    value = number(raw, key, default, minimum=0)
    if value >= 1:
        raise JobError("invalid_job", f"{key} is {value}: it must be below 1")
    return value


def dropout(raw: dict[str, Any], key: str, default: float) -> float:
    value = number(raw, key, default, minimum=0)
    if value > 1:
        raise JobError("invalid_job", f"{key} is {value}: it must be at most 1")
    return value


def text(raw: dict[str, Any], key: str, default: str | None = None) -> str:
    value = raw.get(key, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (default is None and value == ""):
        raise JobError("invalid_job", f"{key} is {value!r}: it must be a string")
    return value


def paths(raw: dict[str, Any], key: str) -> tuple[str, ...]:
    value = raw.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise JobError("invalid_job", f"{key} must be a list of paths")
    return tuple(value)
