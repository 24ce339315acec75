# SPDX-License-Identifier: Apache-2.0
"""The job's event log: one JSON object a line, on the disk before the call returns."""

import json
import os
from datetime import datetime, timezone
from typing import Any


class EventLog:
    """Appends to `events.jsonl`. A line that a kill cut short is closed, so that it spoils no later one."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "ab")
        if self._file.tell() > 0 and not _ends_with_newline(path):
            self._file.write(b"\n")

    def emit(self, event: str, **fields: Any) -> None:
        """Writes one event with the time in UTC; fields that are None are left out."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {"t": now, "event": event, **{key: value for key, value in fields.items() if value is not None}}
        self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _ends_with_newline(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
