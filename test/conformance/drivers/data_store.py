# SPDX-License-Identifier: Apache-2.0
"""The Data Store through the installed huggingface_hub and its `hf` command, for datasets and for models."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile

work = tempfile.TemporaryDirectory(prefix="nemo-hub-")
os.environ.update(HF_HOME=f"{work.name}/home", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")

import requests  # noqa: E402
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi  # noqa: E402
from recorder import DATA_STORE, Recorder, fails_with, unique  # noqa: E402

HUB = f"{DATA_STORE}/v1/hf"
HF = os.path.join(os.path.dirname(sys.executable), "hf")
api = HfApi(endpoint=HUB, token="token")
record = Recorder("data-store")
space = unique("hub")
BIG = os.urandom(12_000_000)


def folder(files: dict[str, bytes]) -> str:
    root = tempfile.mkdtemp(dir=work.name)
    for path, data in files.items():
        os.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
        with open(f"{root}/{path}", "wb") as file:
            file.write(data)
    return root


def content(root: str) -> dict[str, bytes]:
    found = {}
    for at, folders, names in os.walk(root):
        folders[:] = [one for one in folders if one not in (".cache", ".huggingface")]
        for name in names:
            with open(f"{at}/{name}", "rb") as file:
                found[os.path.relpath(f"{at}/{name}", root)] = file.read()
    return found


class Repository:
    """One repository of one type, and the names of the operations on it."""

    def __init__(self, kind: str):
        self.kind = kind
        self.id = f"{space}/{unique('repo')}"
        self.of = {"repo_id": self.id, "repo_type": kind}
        plural = f"{kind}s"
        self.url = f"{HUB}/api/{plural}/{self.id}"
        self.files_url = f"{HUB}/{'datasets/' if kind == 'dataset' else ''}{self.id}"
        self.all = f"/v1/hf/api/{plural}"
        self.api = f"{self.all}/{{namespace}}/{{repo}}"
        self.files = f"/v1/hf/{'datasets/' if kind == 'dataset' else ''}{{namespace}}/{{repo}}"
        self.resolve = f"{self.files}/resolve/{{revision}}/{{path}}"
        self.commits = (f"POST {self.api}/preupload/{{revision}}", f"POST {self.api}/commit/{{revision}}")
        self.reads = (f"HEAD {self.resolve}", f"GET {self.resolve}")

    def operation(self, name: str, *endpoints: str):
        return record.operation(f"{self.kind} {name}", *endpoints)

    def read(self, path: str, revision: str | None = None) -> bytes:
        at = api.hf_hub_download(filename=path, revision=revision, local_dir=tempfile.mkdtemp(dir=work.name), **self.of)
        with open(at, "rb") as file:
            return file.read()

    def names(self, revision: str | None = None) -> list[str]:
        return sorted(one for one in api.list_repo_files(revision=revision, **self.of) if one != ".gitattributes")

    def run(self):
        self.create()
        self.upload()
        self.download()
        self.look()
        self.references()
        self.lfs()
        self.command()
        self.delete()

    def create(self):
        with self.operation("create_repo", "POST /v1/hf/api/repos/create"):
            assert not api.repo_exists(**self.of)
            url = api.create_repo(**self.of)
            assert (url.repo_id, url.repo_type) == (self.id, self.kind), url
            assert api.repo_exists(**self.of)
            api.create_repo(exist_ok=True, **self.of)
            with fails_with(409):
                api.create_repo(**self.of)
        with self.operation("list", f"GET {self.all}"):
            listed = api.list_datasets(author=space) if self.kind == "dataset" else api.list_models(author=space)
            assert self.id in [one.id for one in listed]

    def upload(self):
        with self.operation("upload_file", *self.commits, *self.reads):
            api.upload_file(path_or_fileobj=b'{"a":1}\n', path_in_repo="training/rows.jsonl", **self.of)
            assert self.read("training/rows.jsonl") == b'{"a":1}\n'
        with self.operation("upload_file of 12 MB", *self.commits, *self.reads):
            api.upload_file(path_or_fileobj=BIG, path_in_repo="big.bin", **self.of)
            assert self.read("big.bin") == BIG
        with self.operation("upload_folder", *self.commits):
            files = {"in/one.txt": b"one", "in/deep/zwei ü.txt": b"two", "in/empty": b"", "nul": b"\0\1\2"}
            api.upload_folder(folder_path=folder(files), path_in_repo="tree", **self.of)
            names = self.names()
            assert {f"tree/{name}" for name in files} <= set(names), names
            assert {name: self.read(f"tree/{name}") for name in files} == files
        with self.operation("create_commit: add, copy, delete", *self.commits):
            api.create_commit(
                operations=[
                    CommitOperationAdd("new.txt", b"new"),
                    CommitOperationCopy("big.bin", "copy.bin"),
                    CommitOperationDelete("tree/nul"),
                ],
                commit_message="three at once",
                **self.of,
            )
            assert (self.read("new.txt"), self.read("copy.bin")) == (b"new", BIG)
            assert "tree/nul" not in self.names()
        with self.operation("README with metadata", "POST /v1/hf/api/validate-yaml", *self.commits):
            card = b"---\nlicense: apache-2.0\n---\n# Card\n"
            api.upload_file(path_or_fileobj=card, path_in_repo="README.md", **self.of)
            assert self.read("README.md") == card

    def download(self):
        with self.operation("snapshot_download", *self.reads):
            got = content(api.snapshot_download(local_dir=f"{work.name}/{unique('snapshot')}", **self.of))
            assert (got["big.bin"], got["tree/in/one.txt"]) == (BIG, b"one"), sorted(got)
            assert sorted(name for name in got if name != ".gitattributes") == self.names()
        with self.operation("download of a part", f"GET {self.resolve}"):
            url = f"{self.files_url}/resolve/main/big.bin"
            part = requests.get(url, headers={"Range": "bytes=1000-1999"}, timeout=60)
            assert (part.status_code, part.content) == (206, BIG[1000:2000]), part.status_code
            rest = requests.get(url, headers={"Range": f"bytes={len(BIG) - 5}-"}, timeout=60)
            assert (rest.status_code, rest.content) == (206, BIG[-5:]), rest.status_code
            assert requests.get(url, headers={"Range": f"bytes={len(BIG)}-"}, timeout=60).status_code == 416
        with self.operation("metadata of a file", f"HEAD {self.resolve}"):
            head = requests.head(f"{self.files_url}/resolve/main/new.txt", timeout=60)
            assert (head.status_code, head.headers["Content-Length"]) == (200, "3"), head.headers
            assert head.headers["X-Repo-Commit"] == api.repo_info(**self.of).sha
            missing = requests.head(f"{self.files_url}/resolve/main/absent", timeout=60)
            assert (missing.status_code, missing.headers["X-Error-Code"]) == (404, "EntryNotFound"), missing.headers

    def look(self):
        with self.operation("repo_info", f"GET {self.api}"):
            info = api.repo_info(**self.of)
            assert info.id == self.id and len(info.sha) == 40, info
            assert "new.txt" in [one.rfilename for one in info.siblings]
            with fails_with(404):
                api.repo_info(f"{space}/absent", repo_type=self.kind)
        with self.operation("repo_info at a revision", f"GET {self.api}/revision/{{revision}}"):
            first = api.list_repo_commits(**self.of)[-1].commit_id
            info = api.repo_info(revision=first, **self.of)
            assert info.sha == first and "new.txt" not in [one.rfilename for one in info.siblings]
            assert api.repo_info(revision="main", **self.of).sha != first
        with self.operation("list_repo_tree", f"GET {self.api}/tree/{{revision}}"):
            top = {one.path for one in api.list_repo_tree(**self.of)}
            assert {"tree", "training", "big.bin"} <= top and "tree/in" not in top, top
            every = {one.path: one for one in api.list_repo_tree(recursive=True, **self.of)}
            assert every["big.bin"].size == len(BIG) and "tree/in/deep/zwei ü.txt" in every, sorted(every)
        with self.operation("list_repo_tree of a folder", f"GET {self.api}/tree/{{revision}}/{{path}}"):
            inside = {one.path for one in api.list_repo_tree(path_in_repo="tree/in", **self.of)}
            assert inside == {"tree/in/one.txt", "tree/in/deep", "tree/in/empty"}, inside
        with self.operation("get_paths_info", f"POST {self.api}/paths-info/{{revision}}"):
            infos = {one.path: one for one in api.get_paths_info(paths=["new.txt", "tree", "absent"], **self.of)}
            assert set(infos) == {"new.txt", "tree"} and infos["new.txt"].size == 3, infos
        with self.operation("list_repo_commits", f"GET {self.api}/commits/{{revision}}"):
            titles = [one.title for one in api.list_repo_commits(**self.of)]
            assert titles[1] == "three at once" and len(titles) >= 5, titles

    def references(self):
        with self.operation("create_branch", f"POST {self.api}/branch/{{branch}}"):
            api.create_branch(branch="side", **self.of)
            api.upload_file(path_or_fileobj=b"side", path_in_repo="side.txt", revision="side", **self.of)
            assert self.read("side.txt", "side") == b"side" and "side.txt" not in self.names()
            with fails_with(409):
                api.create_branch(branch="side", **self.of)
        with self.operation("create_tag", f"POST {self.api}/tag/{{revision}}"):
            api.create_tag(tag="v1", tag_message="one", **self.of)
            api.upload_file(path_or_fileobj=b"later", path_in_repo="new.txt", **self.of)
            assert (self.read("new.txt", "v1"), self.read("new.txt")) == (b"new", b"later")
        with self.operation("list_repo_refs", f"GET {self.api}/refs"):
            refs = api.list_repo_refs(**self.of)
            assert {one.name for one in refs.branches} == {"main", "side"}, refs
            assert [one.name for one in refs.tags] == ["v1"], refs
        with self.operation("delete_branch", f"DELETE {self.api}/branch/{{branch}}"):
            api.delete_branch(branch="side", **self.of)
            assert [one.name for one in api.list_repo_refs(**self.of).branches] == ["main"]
        with self.operation("delete_tag"):
            api.delete_tag(tag="v1", **self.of)
            assert api.list_repo_refs(**self.of).tags == []

    def lfs(self):
        data = os.urandom(50_000)
        oid = hashlib.sha256(data).hexdigest()
        batch = f"{self.files_url}.git/info/lfs/objects/batch"
        wanted = {"transfers": ["basic"], "objects": [{"oid": oid, "size": len(data)}], "hash_algo": "sha256"}

        def ask(operation):
            body = json.dumps({"operation": operation, **wanted})
            headers = {"Accept": "application/vnd.git-lfs+json", "Content-Type": "application/vnd.git-lfs+json"}
            answer = requests.post(batch, data=body, headers=headers, timeout=60)
            assert answer.status_code == 200, answer.text
            return answer.json()["objects"][0]

        def follow(method, action, **more):
            headers = {**action.get("header", {}), **more.pop("headers", {})}
            answer = requests.request(method, action["href"], headers=headers, timeout=60, **more)
            assert answer.ok, f"{method} {action['href']}: {answer.status_code} {answer.text}"
            return answer

        with self.operation(
            "LFS: batch, upload, verify, download",
            f"POST {self.files}.git/info/lfs/objects/batch",
            "PUT /{namespace}/{repo}.git/info/lfs/objects/{oid}",
            "POST /{namespace}/{repo}.git/info/lfs/verify",
        ):
            actions = ask("upload")["actions"]
            bad = requests.put(actions["upload"]["href"], data=b"x" * len(data), headers=actions["upload"].get("header"), timeout=60)
            assert bad.status_code >= 400, "took bytes with another hash"
            follow("PUT", actions["upload"], data=data)
            verify = actions.get("verify") or {"href": f"{DATA_STORE}/{self.id}.git/info/lfs/verify"}
            follow("POST", verify, data=json.dumps({"oid": oid, "size": len(data)}), headers={"Content-Type": "application/json"})
            assert "actions" not in ask("upload"), "asks again for what it has"
            assert follow("GET", ask("download")["actions"]["download"]).content == data
        with self.operation("no Xet", f"GET {self.api}/xet-write-token/{{revision}}"):
            assert requests.get(f"{self.url}/xet-write-token/main", timeout=60).status_code == 404

    def command(self):
        def hf(*words):
            env = {**os.environ, "HF_ENDPOINT": HUB, "HF_TOKEN": "token"}
            ended = subprocess.run([HF, *words], env=env, capture_output=True, text=True, timeout=300)
            assert ended.returncode == 0, f"hf {' '.join(words)}: {ended.stdout}{ended.stderr}"

        with self.operation("hf upload", *self.commits):
            hf("upload", self.id, folder({"cli/a.txt": b"a", "cli/b.txt": b"b"}), "from-hf", "--repo-type", self.kind)
            assert self.read("from-hf/cli/b.txt") == b"b"
        with self.operation("hf download", *self.reads):
            at = f"{work.name}/{unique('hf')}"
            hf("download", self.id, "--repo-type", self.kind, "--local-dir", at)
            got = content(at)
            assert (got["from-hf/cli/a.txt"], got["big.bin"]) == (b"a", BIG), sorted(got)

    def delete(self):
        with self.operation("delete_file", f"POST {self.api}/commit/{{revision}}"):
            api.delete_file(path_in_repo="new.txt", **self.of)
            assert "new.txt" not in self.names() and "big.bin" in self.names()
        with self.operation("delete_folder", f"POST {self.api}/commit/{{revision}}"):
            api.delete_folder(path_in_repo="tree", **self.of)
            assert not [name for name in self.names() if name.startswith("tree/")]
        with self.operation("move_repo", "POST /v1/hf/api/repos/move"):
            to = f"{space}/{unique('moved')}"
            api.move_repo(from_id=self.id, to_id=to, repo_type=self.kind)
            assert "big.bin" in api.list_repo_files(to, repo_type=self.kind)
            api.move_repo(from_id=to, to_id=self.id, repo_type=self.kind)
        with self.operation("delete_repo", "DELETE /v1/hf/api/repos/delete"):
            api.delete_repo(**self.of)
            assert not api.repo_exists(**self.of)
            with fails_with(404):
                api.list_repo_files(**self.of)
        with self.operation("DELETE of a repository", f"DELETE {self.api}"):
            api.create_repo(**self.of)
            assert requests.delete(self.url, timeout=60).status_code in (200, 204)
            assert not api.repo_exists(**self.of)


def namespaces():
    url = f"{DATA_STORE}/v1/datastore/namespaces"
    name = unique("space")
    with record.operation("namespaces: create", "POST /v1/datastore/namespaces"):
        assert requests.post(url, data={"namespace": name}, timeout=60).status_code == 201
        assert requests.get(f"{url}/{name}", timeout=60).json()["namespace"] == name
        assert requests.post(url, data={"namespace": name}, timeout=60).status_code in (409, 422)
        assert requests.post(url, json={"namespace": f"{name}-json"}, timeout=60).status_code == 201
    with record.operation("namespaces: get", "GET /v1/datastore/namespaces/{namespace}"):
        assert requests.get(f"{url}/{name}", timeout=60).status_code in (200, 201)
        assert requests.get(f"{url}/{unique('absent')}", timeout=60).status_code == 404
    with record.operation("namespaces: list", "GET /v1/datastore/namespaces"):
        for address in (url, f"{url}/"):
            answer = requests.get(address, timeout=60)
            assert answer.status_code == 200 and name in answer.text, answer.text[:300]
    with record.operation("namespaces: delete", "DELETE /v1/datastore/namespaces/{namespace}"):
        assert requests.delete(f"{url}/{name}", timeout=60).status_code == 200
        assert requests.get(f"{url}/{name}", timeout=60).status_code == 404


with record.operation("health", "GET /v1/health"):
    assert requests.get(f"{DATA_STORE}/v1/health", timeout=60).status_code == 200
with record.operation("whoami", "GET /v1/hf/api/whoami-v2"):
    assert api.whoami()["name"]
namespaces()
for repo_type in ("dataset", "model"):
    Repository(repo_type).run()
record.done()
