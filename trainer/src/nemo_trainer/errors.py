# SPDX-License-Identifier: Apache-2.0
"""What ends a job on purpose."""


class JobError(Exception):
    """A job that cannot go on: `code` for programs, `message` for people, `detail` for whoever looks closer."""

    def __init__(self, code: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail


class Stopped(BaseException):
    """Raised inside the training loop after SIGTERM; not an Exception, so that no library swallows it."""
