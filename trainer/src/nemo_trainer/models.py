# SPDX-License-Identifier: Apache-2.0
"""The base model of a job in a pod: from the models volume, from the image, or from the customizer."""

import os
import shutil
import subprocess
import sys
import threading
from typing import Any, Callable

from .callback import Callback, sum_of

# Raised when the conversion changes what it writes; see CHECKPOINT_FORMAT of the catalogue.
FORMAT = 1


def find_model(
    model: dict[str, Any], callback: Callback, workdir: str, stopping: threading.Event, say: Callable[[str], None]
) -> str:
    """A folder with the model's checkpoint; `model` has `id`, `kind`, `file` and `sha256` of its weights."""
    for root in roots():
        folder = os.path.join(root, *model["id"].split("/"))
        if os.path.exists(os.path.join(folder, "config.json")) and has_weights(folder):
            say(f"{model['id']} is taken from {folder}")
            return folder
    if model["kind"] != "gguf":
        raise SystemExit(
            f"the weights of {model['id']} are a folder that is not in {' or '.join(roots())}: copy it there as "
            f"{model['id']}/ (NemoCustomizer spec.trainingConfig.modelPVC)"
        )
    made = f"{model['sha256'][:16]}-{FORMAT}"
    for root in roots():
        ready = os.path.join(root, "checkpoints", made)
        if os.path.exists(os.path.join(ready, "config.json")):
            return ready
    return convert(find_gguf(model, callback, workdir, stopping, say), os.path.join(workdir, "base", made), say)


def roots() -> list[str]:
    """Where models may lie: the models volume of the customizer, then the image's own."""
    image = os.environ.get("NEMO_MODEL_DIR", "/opt/open-nemo/models")
    return [os.environ.get("NEMO_MODELS_PATH", "/mount/models"), *filter(None, image.split(":"))]


def has_weights(folder: str) -> bool:
    return any(name.endswith(".safetensors") for name in os.listdir(folder))


def find_gguf(
    model: dict[str, Any], callback: Callback, workdir: str, stopping: threading.Event, say: Callable[[str], None]
) -> str:
    for root in roots():
        for base, _, names in os.walk(root):
            path = os.path.join(base, model["file"])
            if model["file"] in names and sum_of(path) == model["sha256"]:
                return path
    say(f"fetching {model['id']} from the customizer")
    target = os.path.join(workdir, "base", model["file"])
    callback.download("model", target, stopping)
    if sum_of(target) != model["sha256"]:
        os.remove(target)
        raise SystemExit(f"the weights of {model['id']} that the customizer sent are damaged")
    return target


def convert(gguf: str, folder: str, say: Callable[[str], None]) -> str:
    """The checkpoint made from a GGUF file; made beside and renamed, so that a kill leaves no half of it."""
    if os.path.exists(os.path.join(folder, "config.json")):
        return folder
    tmp = f"{folder}.tmp"
    shutil.rmtree(tmp, ignore_errors=True)
    os.makedirs(tmp)
    say(f"making a checkpoint from {gguf}")
    subprocess.run([sys.executable, "-m", "nemo_trainer.checkpoint", gguf, tmp], check=True, stdin=subprocess.DEVNULL)
    os.replace(tmp, folder)
    return folder
