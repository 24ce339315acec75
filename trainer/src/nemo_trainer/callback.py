# SPDX-License-Identifier: Apache-2.0
"""The customizer's internal routes, as a pod calls them: each call is repeated until it is answered."""

import hashlib
import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from typing import Any, Callable
from urllib.parse import quote

FIRST_DELAY_S = 0.25
MAX_DELAY_S = 10.0
TIMEOUT_S = 60.0
CHUNK = 4 * 1024 * 1024
# Answers that another try can change.
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class Gone(Exception):
    """The customizer does not want this job any more: cancelled, deleted or ended otherwise."""


class Stopping(Exception):
    """The pod was told to end while it waited for the customizer."""


class Callback:
    def __init__(self, url: str, token: str, say: Callable[[str], None]) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._say = say
        # Traffic inside the cluster; a proxy for the way out must not see it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def fetch(self, path: str, stopping: threading.Event) -> bytes:
        return self._call("GET", f"workdir/{quote(path)}", stopping)[1]

    def download(self, path: str, target: str, stopping: threading.Event) -> None:
        """Brings a file here, going on where an interrupted download stopped; it appears whole or not at all."""
        if os.path.exists(target):
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        part = f"{target}.part"
        while True:
            at = os.path.getsize(part) if os.path.exists(part) else 0
            headers = {"Range": f"bytes={at}-{at + CHUNK - 1}"}
            status, body, answer = self._exchange("GET", quote(path), stopping, headers=headers)
            total = int(answer.get("X-File-Size", "-1"))
            if status == 416 or total < at:
                # The file changed meanwhile: from the start.
                os.remove(part)
                continue
            with open(part, "ab") as file:
                file.write(body)
            if at + len(body) >= total:
                with open(part, "rb+") as file:
                    os.fsync(file.fileno())
                os.replace(part, target)
                return

    def stream_size(self, name: str) -> int:
        """How long the stream is there. Tried once: raises TimeoutError when the customizer does not answer."""
        return int(json.loads(self._exchange("GET", f"streams/{name}", threading.Event(), once=True)[1])["size"])

    def append(self, name: str, offset: int, body: bytes) -> tuple[bool, int]:
        """Appends at `offset`; tells whether it was taken, and how long the stream is there. Tried once."""
        status, answer, _ = self._exchange(
            "POST", f"streams/{name}?offset={offset}", threading.Event(), body=body, accept=(409,), once=True
        )
        return status == 200, int(json.loads(answer)["size"])

    def upload_folder(self, folder: str, stopping: threading.Event) -> None:
        """Uploads every file of `folder`, each from where the customizer has it, and has them checked and taken."""
        while not self._upload_once(folder, stopping):
            self._say("the customizer lost parts of the output: sending it again")

    def _upload_once(self, folder: str, stopping: threading.Event) -> bool:
        manifest = []
        for base, _, names in os.walk(folder):
            for name in sorted(names):
                path = os.path.join(base, name)
                relative = os.path.relpath(path, folder).replace(os.sep, "/")
                manifest.append({"path": relative, "size": os.path.getsize(path), "sha256": sum_of(path)})
                self._upload_file(path, relative, stopping)
        body = json.dumps({"files": manifest}).encode()
        status, _, _ = self._exchange("POST", "output", stopping, body=body, accept=(409,))
        return status == 200

    def _upload_file(self, path: str, relative: str, stopping: threading.Event) -> None:
        url = f"output/{quote(relative)}"
        size = os.path.getsize(path)
        at = int(json.loads(self._call("GET", url, stopping)[1])["size"])
        with open(path, "rb") as file:
            while at < size or size == 0:
                if at > size:
                    at = 0
                file.seek(at)
                body = file.read(CHUNK)
                status, answer, _ = self._exchange("PUT", f"{url}?offset={at}", stopping, body=body, accept=(409,))
                at = int(json.loads(answer)["size"])
                if size == 0 and status == 200:
                    return

    def _call(self, method: str, path: str, stopping: threading.Event) -> tuple[int, bytes]:
        status, body, _ = self._exchange(method, path, stopping)
        return status, body

    def _exchange(
        self, method: str, path: str, stopping: threading.Event, *, body: bytes | None = None,
        headers: dict[str, str] | None = None, accept: tuple[int, ...] = (), once: bool = False,
    ) -> tuple[int, bytes, Any]:
        delay, problem = FIRST_DELAY_S, ""
        while True:
            if stopping.is_set():
                raise Stopping
            request = urllib.request.Request(
                f"{self._url}/{path}", data=body, method=method,
                headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/octet-stream",
                         **(headers or {})},
            )
            try:
                with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                    return answer.status, answer.read(), answer.headers
            except urllib.error.HTTPError as error:
                text = error.read()
                if error.code in accept or error.code == 416:
                    return error.code, text, error.headers
                if error.code == 410:
                    raise Gone(f"the customizer does not want the job any more: {text[:500].decode(errors='replace')}")
                if error.code not in TRANSIENT and error.code != 404:
                    raise RuntimeError(f"{method} {path} was refused with {error.code}: {text[:500]!r}") from error
                now = f"{method} {path}: {error.code}"
            except (OSError, http.client.HTTPException) as error:
                now = f"{method} {path}: {error}"
            if once:
                raise TimeoutError(now)
            if now != problem:
                self._say(f"waiting for the customizer ({now})")
            problem = now
            stopping.wait(delay)
            delay = min(2 * delay, MAX_DELAY_S)


def sum_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def until(deadline: float | None) -> bool:
    """Whether there is time left."""
    return deadline is None or time.monotonic() < deadline
