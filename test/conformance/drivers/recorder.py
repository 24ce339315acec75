# SPDX-License-Identifier: Apache-2.0
"""What a driver prints: one JSON object for each operation that it tried, and `done` at the end."""

import json
import os
import secrets
import traceback
from contextlib import contextmanager

PLATFORM = os.environ["NEMO_URL"]
NIM = os.environ["NIM_URL"]
DATA_STORE = os.environ["DATA_STORE_URL"]


def unique(prefix: str) -> str:
    """A name that no earlier run has used, so that a driver can run twice against one platform."""
    return f"{prefix}-{secrets.token_hex(4)}"


def client():
    """NVIDIA's SDK as its users make it."""
    from nemo_microservices import NeMoMicroservices

    return NeMoMicroservices(base_url=PLATFORM, inference_base_url=NIM)


def status_of(error: BaseException) -> int | None:
    """HTTP status of an error of the SDK, openai, httpx, requests or huggingface_hub."""
    response = getattr(error, "response", None)
    return getattr(error, "status_code", None) or getattr(response, "status_code", None)


class Recorder:
    def __init__(self, service: str):
        self.service = service

    def line(self, operation, endpoints, **outcome):
        print(json.dumps({"service": self.service, "operation": operation, "endpoints": endpoints, **outcome}), flush=True)

    @contextmanager
    def operation(self, operation: str, *endpoints: str):
        """Its block calls the operation and asserts the effect by reading it back. Failures do not end the driver."""
        try:
            yield
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            here = next((f for f in reversed(frames) if os.path.dirname(f.filename) == os.path.dirname(__file__)), frames[-1])
            where = f"{os.path.basename(here.filename)}:{here.lineno}: {here.line}"
            self.line(operation, endpoints, ok=False, detail=f"{type(error).__name__}: {str(error)[:1500]} ({where})")
        else:
            self.line(operation, endpoints, ok=True)

    def refused(self, operation: str, call, *endpoints: str, statuses=(400, 404, 409, 422, 501)):
        """What the platform says it cannot do: a refusal counts when its status is a clear one and it gives a reason."""
        try:
            call()
        except Exception as error:
            ok = status_of(error) in statuses and len(str(error)) > 30
            self.line(operation, endpoints, ok=ok, refused=ok, detail=f"{type(error).__name__}: {str(error)[:600]}")
        else:
            self.line(operation, endpoints, ok=False, detail="accepted, though it cannot be done")

    def done(self):
        print(json.dumps({"done": self.service}), flush=True)


@contextmanager
def fails_with(status: int):
    """Asserts that its block is answered with this HTTP status."""
    try:
        yield
    except Exception as error:
        assert status_of(error) == status, f"{status} expected, {type(error).__name__} {status_of(error)}: {error}"
    else:
        raise AssertionError(f"{status} expected, but it was accepted")
