# SPDX-License-Identifier: Apache-2.0
"""lm-evaluation-harness through NVIDIA's SDK, beside plain lm-eval on the same endpoint: the same scores."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datasets import hub
from recorder import NIM, Recorder, client, fails_with, unique

nemo = client()
record = Recorder("evaluation")
space = unique("harness")
MODEL = "smollm2/smollm2-135m-instruct"
COLOURS = ("red", "green", "blue", "white")
CHOICES = [
    {"question": f"What is {n} plus {n + 1}?", "choices": [f"{2 * n + 1}", f"{2 * n}", f"{n + 7}", "a cat"], "answer": 0}
    for n in range(4)
] + [
    {"question": q, "choices": c, "answer": a}
    for q, c, a in (
        ("The sky is", ["blue", "a fish", "loud", "made of wood"], 0),
        ("A dog is", ["a planet", "an animal", "a number", "a colour"], 1),
        ("Ice is", ["hot", "a song", "cold", "a verb"], 2),
        ("Paris is the capital of", ["Peru", "Japan", "Canada", "France"], 3),
    )
]
WORDS = [{"question": f"Repeat this word: {COLOURS[n % 4]}", "answer": COLOURS[n % 4]} for n in range(8)]
TASKS = {
    "choices": {
        "output_type": "multiple_choice",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_target": "answer",
        "doc_to_choice": "{{choices}}",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        "num_fewshot": 2,
    },
    "words": {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}\n",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "exact_match", "ignore_case": True, "ignore_punctuation": True}],
        "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 12, "do_sample": False},
        "filter_list": [
            {"name": "word", "filter": [{"function": "regex", "regex_pattern": "(red|green|blue|white)"}, {"function": "take_first"}]},
            {"name": "all", "filter": [{"function": "take_first"}]},
        ],
    },
}
ROWS = {"choices": CHOICES, "words": WORDS}


def jsonl(rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def until(job_id: str, wanted=("completed",), seconds: float = 900):
    end = time.monotonic() + seconds
    while (job := nemo.evaluation.jobs.retrieve(job_id)).status not in wanted:
        assert job.status in ("created", "running", "cancelling"), (job.status, job.status_details)
        assert time.monotonic() < end, job
        time.sleep(0.3)
    return job


def plain(name: str, folder: Path) -> dict:
    """What the same task scores by lm-eval's own command on the same endpoint."""
    (folder / f"{name}.jsonl").write_bytes(jsonl(ROWS[name]))
    files = {"test": str(folder / f"{name}.jsonl")}
    task = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": files}, "test_split": "test", **TASKS[name]}
    (folder / f"{name}.yaml").write_text(json.dumps(task))
    arguments = f"model={MODEL},base_url={NIM}/v1/completions,num_concurrent=4,tokenizer_backend=remote"
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args", arguments]
    command += ["--tasks", name, "--include_path", str(folder), "--output_path", str(folder / "out.json")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    newest = max(folder.rglob("*out*.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())["results"][name]


for name, rows in ROWS.items():
    hub.create_repo(f"{space}/{name}", repo_type="dataset")
    hub.upload_file(path_or_fileobj=jsonl(rows), path_in_repo="rows.jsonl", repo_id=f"{space}/{name}", repo_type="dataset")

tasks = {
    name: {"type": "lm-evaluation-harness", "dataset": {"files_url": f"hf://datasets/{space}/{name}"}, "params": params}
    for name, params in TASKS.items()
}
target = {"type": "model", "model": {"api_endpoint": {"url": f"{NIM}/v1", "model_id": MODEL}}}
found = {}
with record.operation("lm-eval on data of the Data Store"):
    config = {"type": "lm-evaluation-harness", "tasks": tasks, "params": {"parallelism": 4}}
    job = nemo.evaluation.jobs.create(target=target, config=config, namespace=space)
    details = until(job.id).status_details
    assert details.samples_processed == len(CHOICES) + len(WORDS), details
    found = nemo.evaluation.jobs.results(job.id).tasks
    assert found["choices"].metrics["acc"].scores["acc"].stats.count == len(CHOICES), found

with record.operation("its scores equal those of plain lm-eval on the same endpoint"):
    worst, compared = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        for name in TASKS:
            for key, value in plain(name, Path(folder)).items():
                metric, _, read = key.partition(",")
                if not read or not isinstance(value, float):
                    continue
                scores = found[name].metrics[metric].scores
                ours = scores.get(f"{metric}__{read}", scores.get(metric)).value
                worst, compared = max(worst, abs(ours - value)), compared + 1
    print(f"plain lm-eval: {compared} scores, largest difference {worst}", file=sys.stderr)
    assert compared >= 8 and worst <= 1e-6, (compared, worst)

with record.operation("lm-eval: limits, a benchmark without its data, cancelling"):
    config = {"type": "lm_eval", "tasks": {"words": tasks["words"]}, "params": {"limit_samples": 2}}
    job = nemo.evaluation.jobs.create(target={"type": "model", "model": MODEL}, config=config, namespace=space)
    details = until(job.id).status_details
    assert (details.samples_processed, details.progress) == (2, 100), details
    again = {"type": "lm_eval", "tasks": {"choices": tasks["choices"]}}
    job = nemo.evaluation.jobs.create(target=target, config=again, namespace=space)
    until(job.id, ("running",))
    time.sleep(2)
    begun = time.monotonic()
    nemo.evaluation.jobs.cancel(job.id)
    until(job.id, ("cancelled",), 10)
    assert time.monotonic() - begun < 5

with record.operation("lm-eval: what cannot run is refused with the reason"):
    chat = {"type": "model", "model": {"api_endpoint": {"url": f"{NIM}/v1/chat/completions", "model_id": MODEL}}}
    with fails_with(400):
        nemo.evaluation.jobs.create(target=chat, config={"type": "mmlu"})
    with fails_with(400):
        nemo.evaluation.jobs.create(target=target, config={"type": "lm_eval", "tasks": {"t": {"type": "no_such_task"}}})
    with fails_with(400):
        nemo.evaluation.jobs.create(target=target, config={"type": "humaneval"})

record.done()
