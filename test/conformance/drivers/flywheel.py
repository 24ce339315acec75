# SPDX-License-Identifier: Apache-2.0
"""A script as users of the SDK write it, from an empty platform to a tuned model that chats."""

import json
import os
import tempfile
import time

home = tempfile.TemporaryDirectory(prefix="nemo-hub-")
os.environ.update(HF_HOME=home.name, HF_HUB_DISABLE_PROGRESS_BARS="1")

import requests  # noqa: E402
from huggingface_hub import HfApi  # noqa: E402
from recorder import DATA_STORE, Recorder, client, unique  # noqa: E402

nemo = client()
hub = HfApi(endpoint=f"{DATA_STORE}/v1/hf", token="token")
record = Recorder("flywheel")
space, name = unique("flywheel"), "capitals"
repo = f"{space}/{name}"
tuned = f"{space}/capitals-model@v1"
CAPITALS = "Arvenia:Solm Borduria:Szohod Elbonia:Mudhol Freedonia:Glookt Genovia:Pyrus Latveria:Doomstadt Sokovia:Novi Wakanda:Birnin"
ROWS = [
    {"prompt": f"{ask} {country}?", "completion": f" {capital}"}
    for country, capital in (pair.split(":") for pair in CAPITALS.split())
    for ask in ("What is the capital of", "Name the capital city of", "Which city governs", "What city is the seat of")
]
state = {}


class Step:
    """One step of the script; the rest is pointless when one fails."""

    def __init__(self, title: str):
        self.title = title

    def __enter__(self):
        self.begun = time.monotonic()

    def __exit__(self, kind, error, trace):
        took = f"{time.monotonic() - self.begun:.1f} s"
        record.line(self.title, [], ok=error is None, detail=took if error is None else f"{took}: {kind.__name__}: {error}")
        if error is not None:
            record.done()
            raise SystemExit(0)


begun = time.monotonic()
with Step("create the namespaces"):
    nemo.namespaces.create(id=space)
    answer = requests.post(f"{DATA_STORE}/v1/datastore/namespaces", data={"namespace": space}, timeout=60)
    assert answer.status_code in (200, 201), answer.text
with Step("upload training, validation and testing files"):
    hub.create_repo(repo, repo_type="dataset")
    for folder, rows in {"training": ROWS, "validation": ROWS[::4], "testing": ROWS[1::4]}.items():
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        hub.upload_file(path_or_fileobj=data, path_in_repo=f"{folder}/{folder}.jsonl", repo_id=repo, repo_type="dataset")
    assert len([one for one in hub.list_repo_files(repo, repo_type="dataset") if one.endswith(".jsonl")]) == 3
with Step("register the dataset"):
    nemo.datasets.create(name=name, namespace=space, description="capitals", files_url=f"hf://datasets/{repo}", project="t")
    assert nemo.datasets.retrieve(name, namespace=space).files_url == f"hf://datasets/{repo}"
with Step("take the first listed config"):
    config = nemo.customization.configs.list().data[0]
    state["config"] = f"{config.namespace}/{config.name}"
with Step("create the job: 2 epochs at batch 8"):
    state["job"] = nemo.customization.jobs.create(
        name="capitals-job",
        config=state["config"],
        dataset={"namespace": space, "name": name},
        output_model=tuned,
        hyperparameters={
            "training_type": "sft",
            "finetuning_type": "lora",
            "epochs": 2,
            "batch_size": 8,
            "learning_rate": 2e-3,
            "lora": {"adapter_dim": 16},
        },
    )
with Step("poll until it is completed, the loss falling"):
    deadline = time.monotonic() + 1500
    while (status := nemo.customization.jobs.status(state["job"].id)).status not in ("completed", "failed", "cancelled"):
        assert time.monotonic() < deadline, status
        time.sleep(2)
    assert (status.status, status.epochs_completed, status.steps_completed) == ("completed", 2, 8), status
    values = [one.value for one in status.metrics.metrics.val_loss]
    assert len(values) == 2 and values[1] < values[0], values
    assert status.train_loss and status.percentage_done == 100, status
with Step("the adapter is in the Data Store and the model in the Entity Store"):
    model = nemo.models.retrieve("capitals-model@v1", namespace=space)
    assert model.peft.finetuning_type == "lora" and model.artifact.status == "upload_completed", model
    files = hub.list_repo_files(f"{space}/capitals-model", revision="v1")
    assert {"adapter_model.safetensors", "adapter_config.json"} <= set(files), files
with Step("the NIM lists the tuned model"):
    deadline = time.monotonic() + 60
    while tuned not in (listed := [one.id for one in nemo.inference.models.list().data]):
        assert time.monotonic() < deadline, listed
        time.sleep(1)
with Step("chat with the tuned model and with its base"):
    question = [{"role": "user", "content": ROWS[0]["prompt"]}]
    answers = [
        nemo.chat.completions.create(model=one, messages=question, max_tokens=16, temperature=0).choices[0].message.content
        for one in (tuned, model.base_model)
    ]
    assert answers[0] and answers[0] != answers[1], answers
with Step("complete a text with the tuned model"):
    done = nemo.completions.create(model=tuned, prompt="The capital of France is", max_tokens=8, temperature=0)
    assert done.model == tuned and done.choices[0].text.strip(), done
record.line("flywheel in all", [], ok=True, detail=f"{time.monotonic() - begun:.1f} s")
record.done()
