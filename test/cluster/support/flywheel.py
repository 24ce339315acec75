# SPDX-License-Identifier: Apache-2.0
"""The flywheel by NVIDIA's SDK and huggingface_hub: upload, tune, chat, chat under a guard, evaluate.

Takes the addresses of the services as JSON and prints a JSON line of what came of it.
"""

import json
import sys
import time

from huggingface_hub import HfApi
from nemo_microservices import NeMoMicroservices

DONE = ("completed", "failed", "cancelled")
OUTPUT = "demo/colours-model@v1"
GUARD = {
    "models": [],
    "rails": {
        "input": {"flows": ["regex check input"]},
        "config": {"regex_detection": {"input": {"patterns": ["secret"]}}},
    },
}


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def jsonl(rows):
    return "\n".join(map(json.dumps, rows)).encode()


def until_ended(what, read):
    seen = None
    while True:
        status = read()
        if status.status != seen:
            seen = status.status
            say(what, seen)
        if status.status in DONE:
            return status
        time.sleep(1)


def patiently(what, attempt, seconds=90):
    """A new adapter is found by the NIM within seconds, not at once."""
    end = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except Exception as error:
            if time.monotonic() > end:
                raise
            say(what, type(error).__name__)
            time.sleep(2)


def main(urls):
    entities = NeMoMicroservices(base_url=urls["entities"])
    customizer = NeMoMicroservices(base_url=urls["customizer"])
    evaluator = NeMoMicroservices(base_url=urls["evaluator"])
    guardrails = NeMoMicroservices(base_url=urls["guardrails"])
    nim = NeMoMicroservices(base_url=urls["entities"], inference_base_url=urls["nim"])
    hub = HfApi(endpoint=urls["data"] + "/v1/hf", token="")

    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What colour is item {n}?"},
                {"role": "assistant", "content": "It is green."},
            ]
        }
        for n in range(32)
    ]
    entities.namespaces.create(id="demo")
    hub.create_repo("demo/colours", repo_type="dataset")
    for folder in ("training", "validation"):
        hub.upload_file(
            path_or_fileobj=jsonl(rows),
            path_in_repo=f"{folder}/rows.jsonl",
            repo_id="demo/colours",
            repo_type="dataset",
        )
    entities.datasets.create(name="colours", namespace="demo", files_url="hf://datasets/demo/colours")

    config = customizer.customization.configs.list().data[0]
    job = customizer.customization.jobs.create(
        config=f"{config.namespace}/{config.name}",
        dataset={"name": "colours", "namespace": "demo"},
        output_model=OUTPUT,
        hyperparameters={
            "training_type": "sft",
            "finetuning_type": "lora",
            "epochs": 3,
            "batch_size": 4,
            "learning_rate": 2e-3,
            "lora": {"adapter_dim": 8},
        },
    )
    say("job", job.id)
    status = until_ended("training", lambda: customizer.customization.jobs.status(job.id))
    if status.status != "completed":
        raise SystemExit(f"the training {status.status}: {status.status_logs[-1]}")

    def ask(client, content, **more):
        messages = [{"role": "user", "content": content}]
        answer = client.chat.completions.create(model=OUTPUT, messages=messages, max_tokens=20, **more)
        return answer.choices[0].message.content

    tuned = patiently("chat", lambda: ask(nim, "What colour is item 99?"))
    guard = {"guardrails": {"config": GUARD}}
    passed = patiently("guarded chat", lambda: ask(guardrails.guardrail, "What colour is item 5?", **guard))
    blocked = ask(guardrails.guardrail, "Tell me the secret.", **guard)

    questions = [{"q": f"What colour is item {n}?", "a": "It is green."} for n in range(50, 56)]
    hub.create_repo("demo/qa", repo_type="dataset")
    hub.upload_file(
        path_or_fileobj=jsonl(questions), path_in_repo="qa.jsonl", repo_id="demo/qa", repo_type="dataset"
    )
    task = {
        "type": "chat-completion",
        "params": {"template": {"messages": [{"role": "user", "content": "{{item.q}}"}], "max_tokens": 12}},
        "metrics": {"f1": {"type": "f1", "params": {"ground_truth": "{{item.a}}"}}},
        "dataset": {"files_url": "hf://datasets/demo/qa"},
    }
    evaluation = evaluator.evaluation.jobs.create(
        namespace="demo",
        target={"type": "model", "model": OUTPUT},
        config={"type": "custom", "tasks": {"qa": task}},
    )
    ended = until_ended("evaluation", lambda: evaluator.evaluation.jobs.retrieve(evaluation.id))
    if ended.status != "completed":
        raise SystemExit(f"the evaluation {ended.status}: {ended.status_details}")
    scores = evaluator.evaluation.jobs.results(evaluation.id).tasks["qa"].metrics["f1"].scores
    print(
        json.dumps(
            {
                "job": job.id,
                "model": OUTPUT,
                "models": [model.id for model in nim.inference.models.list().data],
                "tuned": tuned,
                "passed": passed,
                "blocked": blocked,
                "f1": scores["f1_score"].value,
            }
        )
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
