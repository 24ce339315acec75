# SPDX-License-Identifier: Apache-2.0
"""Datasets as the documentation has users make them: files in the Data Store, an entity that points to them."""

import json
import os
import tempfile

home = tempfile.TemporaryDirectory(prefix="nemo-hub-")
os.environ.update(HF_HOME=home.name, HF_HUB_DISABLE_PROGRESS_BARS="1")

from huggingface_hub import HfApi  # noqa: E402
from recorder import DATA_STORE  # noqa: E402

hub = HfApi(endpoint=f"{DATA_STORE}/v1/hf", token="token")


def upload_dataset(nemo, space: str, name: str, rows: list, folders=("training", "validation")) -> dict:
    """Uploads rows (objects, or lines as they are) as `<folder>/rows.jsonl` and registers them; its reference for jobs."""
    repo = f"{space}/{name}"
    hub.create_repo(repo, repo_type="dataset")
    data = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows).encode()
    for folder in folders:
        hub.upload_file(path_or_fileobj=data, path_in_repo=f"{folder}/rows.jsonl", repo_id=repo, repo_type="dataset")
    nemo.datasets.create(name=name, namespace=space, files_url=f"hf://datasets/{repo}")
    return {"name": name, "namespace": space}
