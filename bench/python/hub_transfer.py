# SPDX-License-Identifier: Apache-2.0
"""Times stock huggingface_hub against a hub: `hub_transfer.py <endpoint> <work folder> [large]` prints one JSON object.

With `large` only the file of 1 GB goes up and down."""

import json
import os
import sys
import time

endpoint, work, only = sys.argv[1], sys.argv[2], sys.argv[3:]
os.environ["HF_ENDPOINT"] = endpoint
os.environ["HF_HOME"] = os.path.join(work, "hf")
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

from huggingface_hub import CommitOperationAdd, HfApi  # noqa: E402

SIZE = 1_000_000_000
FILES = 10_000

api = HfApi(endpoint=os.environ["HF_ENDPOINT"], token="none")
result = {}

source = os.path.join(work, "large.bin")
if not os.path.exists(source):
    with open(source, "wb") as out:
        block = os.urandom(10_000_000)
        for i in range(SIZE // len(block)):
            out.write(i.to_bytes(8, "little") + block[8:])

api.create_repo("bench/large", repo_type="dataset", exist_ok=True)
begin = time.perf_counter()
api.upload_file(path_or_fileobj=source, path_in_repo="large.bin", repo_id="bench/large", repo_type="dataset")
result["upload_mb_s"] = SIZE / 1e6 / (time.perf_counter() - begin)

begin = time.perf_counter()
path = api.hf_hub_download("bench/large", "large.bin", repo_type="dataset", local_dir=os.path.join(work, "down"))
result["download_mb_s"] = SIZE / 1e6 / (time.perf_counter() - begin)
assert os.path.getsize(path) == SIZE
os.remove(path)

if not only:
    api.create_repo("bench/small", repo_type="dataset")
    operations = [
        CommitOperationAdd(path_in_repo=f"{i // 100:03}/{i:05}.txt", path_or_fileobj=f"file {i}\n".encode())
        for i in range(FILES)
    ]
    begin = time.perf_counter()
    api.create_commit("bench/small", operations, commit_message="many", repo_type="dataset")
    result["commit_10000_files_s"] = time.perf_counter() - begin
    assert len(api.list_repo_files("bench/small", repo_type="dataset")) >= FILES

print(json.dumps(result))
