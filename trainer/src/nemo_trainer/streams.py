# SPDX-License-Identifier: Apache-2.0
"""Sends a file that grows to the customizer, by offset, so that nothing is lost or there twice."""

import os
import threading
import time

from .callback import Callback, until

CHUNK = 512 * 1024
RETRY_S = 2.0


class Stream:
    """`<workdir>/<name>` as the stream `name`.

    Both sides may forget: the customizer's file may be shorter than what was sent (its disk is new), or longer than
    this file (the workspace is new). Then a difference is kept between the offsets here and there.
    """

    def __init__(self, callback: Callback, workdir: str, name: str, whole_lines: bool) -> None:
        self._callback = callback
        self._path = os.path.join(workdir, name)
        self._base_path = os.path.join(workdir, f"{name}.base")
        self._name = name
        self._whole_lines = whole_lines
        self._sent = 0
        self._base: int | None = None
        self._retry_at = 0.0

    def send_some(self) -> bool:
        """Sends one piece if there is one; gives whether there may be more. Failures wait for a later call."""
        if time.monotonic() < self._retry_at:
            return False
        try:
            return self._send_piece()
        except (TimeoutError, OSError):
            self._retry_at = time.monotonic() + RETRY_S
            return False

    def drain(self, stopping: threading.Event, deadline: float | None) -> bool:
        """Sends all that is there, however long the customizer is away, or until stopped or the deadline."""
        while until(deadline) and not stopping.is_set():
            if not self.send_some():
                if self._base is not None and self._pending() == b"":
                    return True
                time.sleep(0.2)
        return False

    def _send_piece(self) -> bool:
        if self._base is None:
            self._begin()
        base = self._base or 0
        body = self._pending()
        if not body:
            return False
        taken, size = self._callback.append(self._name, base + self._sent, body)
        if taken:
            self._sent += len(body)
        else:
            self._meet(size)
        return True

    def _begin(self) -> None:
        """Where to go on: with a known difference after what is there, else behind all that is there."""
        there = self._callback.stream_size(self._name)
        try:
            with open(self._base_path, encoding="utf-8") as file:
                self._base = int(file.read())
        except (OSError, ValueError):
            self._set_base(there)
            return
        self._meet(there)

    def _meet(self, there: int) -> None:
        base = self._base or 0
        if there < base:
            self._set_base(there)
            self._sent = 0
            return
        size = os.path.getsize(self._path) if os.path.exists(self._path) else 0
        self._sent = there - base
        if self._sent > size:
            self._set_base(there)
            self._sent = 0

    def _set_base(self, base: int) -> None:
        tmp = f"{self._base_path}.tmp"
        with open(tmp, "w", encoding="utf-8") as file:
            file.write(str(base))
        os.replace(tmp, self._base_path)
        self._base = base

    def _pending(self) -> bytes:
        try:
            with open(self._path, "rb") as file:
                file.seek(self._sent)
                body = file.read(CHUNK)
        except OSError:
            return b""
        if not self._whole_lines:
            return body
        return body[: body.rfind(b"\n") + 1]
