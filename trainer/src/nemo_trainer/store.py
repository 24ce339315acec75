# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: whole or not there, the newest usable one wins."""

import os
from typing import Any

import torch

KEPT = 2


class CheckpointStore:
    """Files `step-<n>.pt` in `checkpoints/`, each with the state after step n, written beside and renamed."""

    def __init__(self, folder: str, fingerprint: str) -> None:
        self._folder = folder
        self._fingerprint = fingerprint
        os.makedirs(folder, exist_ok=True)
        for name in os.listdir(folder):
            if name.endswith(".tmp"):
                os.remove(os.path.join(folder, name))

    def save(self, step: int, state: dict[str, Any]) -> None:
        path = os.path.join(self._folder, f"step-{step:08d}.pt")
        with open(path + ".tmp", "wb") as file:
            torch.save({**state, "step": step, "fingerprint": self._fingerprint}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".tmp", path)
        sync_folder(self._folder)
        for name in self._names()[:-KEPT]:
            os.remove(os.path.join(self._folder, name))

    def load(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest state of this very job, if any, and what was wrong with the ones that were passed over."""
        problems = []
        for name in reversed(self._names()):
            try:
                state = torch.load(os.path.join(self._folder, name), map_location="cpu", weights_only=True)
            except Exception as error:  # a damaged file can fail in any way
                problems.append(f"checkpoint {name} is damaged and was passed over ({type(error).__name__})")
                continue
            if state.get("fingerprint") == self._fingerprint:
                return state, problems
            problems.append(f"checkpoint {name} belongs to another job and was passed over")
        return None, problems

    def _names(self) -> list[str]:
        return sorted(name for name in os.listdir(self._folder) if name.startswith("step-") and name.endswith(".pt"))


def sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
