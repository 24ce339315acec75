# SPDX-License-Identifier: Apache-2.0
"""Targets, configs, jobs and results of the Evaluator through NVIDIA's SDK, with the reference model and a scripted one."""

import io
import json
import tarfile
import time
import zipfile

from datasets import hub, upload_dataset
from recorder import Recorder, client, fails_with, unique
from scripted_model import ScriptedModel

nemo = client()
record = Recorder("evaluation")
space = unique("evals")
BASE = "smollm2/smollm2-135m-instruct"
KEY = "sk-conformance-secret-5117"
TARGETS, CONFIGS, JOBS, RESULTS = (f"/v1/evaluation/{kind}" for kind in ("targets", "configs", "jobs", "results"))
V2 = "/v2/evaluation/jobs"
CHECK = {"type": "string-check", "params": {"check": ["{{sample.output_text}}", "contains", "{{item.answer}}"]}}
ROWS = [{"question": f"Say {n}.", "answer": str(n)} for n in range(10)]


def scripted(body):
    """Repeats the number that is asked for; as a judge, rates it; fails for 7 and is busy for the first 3."""
    text = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    if text.startswith("Rate"):
        return f"RATING: {5 if 'good' in text else 2}, says {KEY}"
    if "7" in text:
        return (400, f"no sevens for {KEY}")
    if "3" in text and len([one for one in model.asked if "3" in json.dumps(one)]) < 3:
        return (503, "busy")
    if body.get("tools"):
        call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"n": 1, "m": [2]}'}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    return text.removeprefix("Say ").removesuffix(".")


model = ScriptedModel(scripted, KEY)
upload_dataset(nemo, space, "rows", ROWS, folders=("testing",))
FILES = f"hf://datasets/{space}/rows/testing/rows.jsonl"


def chat_config(metrics: dict, **params) -> dict:
    template = {"messages": [{"role": "user", "content": "{{item.question}}"}], "max_tokens": 16}
    task = {
        "type": "chat-completion",
        "dataset": {"files_url": FILES},
        "params": {"template": template},
        "metrics": metrics,
    }
    return {"type": "custom", "tasks": {"qa": task}, "params": params}


def entities(resource, path: str, item: str, prefix: str, body: dict):
    kind = path.rsplit("/", 1)[-1]
    with record.operation(f"{kind}.create", f"POST {path}"):
        made = resource.create(name="one", namespace=space, custom_fields={"team": "a"}, **body)
        assert made.id.startswith(prefix) and made.namespace == space, made
        assert KEY not in made.model_dump_json(), made
        with fails_with(409):
            resource.create(name="one", namespace=space, **body)
    with record.operation(f"{kind}.retrieve", f"GET {path}/{{namespace}}/{{{item}}}"):
        assert resource.retrieve("one", namespace=space).custom_fields == {"team": "a"}
        with fails_with(404):
            resource.retrieve("absent", namespace=space)
    with record.operation(f"{kind}.list", f"GET {path}"):
        resource.create(name="two", namespace=space, **body)
        named = lambda **query: [one.name for one in resource.list(filter={"namespace": space}, **query)]
        assert named(sort="-created_at") == ["two", "one"] and named(page_size=1) == ["one", "two"]
        assert [one.name for one in resource.list(filter={"namespace": space, "type": body["type"], "name": "two"})] == ["two"]
    where = "path_namespace" if kind == "configs" else "namespace"
    patch = f"{{path_namespace}}/{{{item}}}" if kind == "configs" else f"{{namespace}}/{{{item}}}"
    with record.operation(f"{kind}.update", f"PATCH {path}/{patch}"):
        key = {"path_namespace": space, "body_namespace": space} if where == "path_namespace" else {"namespace": space}
        resource.update("one", **key, description="changed")
        got = resource.retrieve("one", namespace=space)
        assert (got.description, got.custom_fields) == ("changed", {"team": "a"}), got
    with record.operation(f"{kind}.delete", f"DELETE {path}/{{namespace}}/{{{item}}}"):
        resource.delete("two", namespace=space)
        with fails_with(404):
            resource.retrieve("two", namespace=space)


def until(job_id: str, wanted=("completed",), seconds: float = 120):
    end = time.monotonic() + seconds
    while (job := nemo.evaluation.jobs.retrieve(job_id)).status not in wanted:
        assert job.status in ("created", "running", "cancelling"), (job.status, job.status_details)
        assert time.monotonic() < end, f"{job_id} is {job.status} after {seconds} s"
        time.sleep(0.1)
    return job


def evaluate(target, config, seconds: float = 120):
    job = nemo.evaluation.jobs.create(target=target, config=config, namespace=space)
    ended = until(job.id, seconds=seconds)
    return ended, nemo.evaluation.jobs.results(job.id)


def jobs():
    resource = nemo.evaluation.jobs
    made = {}
    with record.operation("jobs.create", f"POST {JOBS}"):
        config = chat_config({"check": CHECK}, parallelism=4)
        nemo.evaluation.configs.create(name="chat", namespace=space, **config)
        job = resource.create(target=f"{space}/one", config=f"{space}/chat", namespace=space, description="one")
        made["job"] = job
        assert job.id.startswith("eval-") and job.status == "created", job
        assert job.target.name == "one" and job.config.tasks["qa"].type == "chat-completion", job
        assert job.status_details.progress is None and job.status_details.task_status == {}, job
        with fails_with(404):
            resource.create(target="absent/target", config=config)
        with fails_with(422):
            resource.create(target={"type": "rows"}, config=config)
    if "job" not in made:
        return
    job_id = made["job"].id
    with record.operation("jobs.retrieve", f"GET {JOBS}/{{job_id}}"):
        got = until(job_id)
        assert got.description == "one" and KEY not in got.model_dump_json(), got
        with fails_with(404):
            resource.retrieve("eval-absent")
    with record.operation("jobs.status", f"GET {JOBS}/{{job_id}}/status"):
        status = resource.status(job_id)
        assert (status.progress, status.samples_processed, status.task_status) == (100, 10, {"qa": "completed"}), status
        assert "1 of 10 samples failed" in status.message and "2 requests were sent again" in status.message, status
        assert KEY not in status.message, status
    with record.operation("jobs.results", f"GET {JOBS}/{{job_id}}/results"):
        score = resource.results(job_id).tasks["qa"].metrics["check"].scores["string-check"]
        assert (score.value, score.stats.count, score.stats.sum) == (1, 9, 9), score
    with record.operation("jobs.download_results", f"GET {JOBS}/{{job_id}}/download-results"):
        files = zipfile.ZipFile(io.BytesIO(resource.download_results(job_id).read()))
        assert files.testzip() is None
        names = set(files.namelist())
        assert {"results.json", "report.html", "logs.txt", "samples/qa.jsonl", "config.json"} <= names, names
        assert len(files.read("samples/qa.jsonl").splitlines()) == 10
        for name in names:
            assert KEY.encode() not in files.read(name), f"the key is in {name}"
    with record.operation("jobs.download_logs", f"GET {JOBS}/{{job_id}}/logs"):
        answer = resource.with_raw_response.download_logs(job_id)
        text = zipfile.ZipFile(io.BytesIO(answer.http_response.read())).read("logs.txt").decode()
        assert "sample 7 failed" in text and KEY not in text, text
    with record.operation("jobs.list", f"GET {JOBS}"):
        assert job_id in [one.id for one in resource.list(filter={"namespace": space, "status": "completed"})]
        by = {"target": f"{space}/one", "config": {"name": "chat"}}
        assert [one.id for one in resource.list(filter={"namespace": space, **by})] == [job_id]
    with record.operation("jobs.cancel", f"POST {JOBS}/{{job_id}}/cancel"):
        slow = chat_config({"check": CHECK}, parallelism=1)
        slow["tasks"]["qa"]["params"]["template"]["max_tokens"] = 512
        job = resource.create(target={"type": "model", "model": BASE}, config=slow, namespace=space)
        until(job.id, ("running",))
        begun = time.monotonic()
        resource.cancel(job.id)
        assert until(job.id, ("cancelled",), 10) and time.monotonic() - begun < 5
        with fails_with(409):
            resource.cancel(job_id)
    with record.operation("jobs.delete", f"DELETE {JOBS}/{{job_id}}"):
        resource.delete(job.id)
        with fails_with(404):
            resource.retrieve(job.id)


def metrics():
    target = {"type": "model", "model": model.endpoint("/chat/completions")}
    with record.operation("text metrics of a completion and of chats"):
        text = {name: {"type": name, "params": {"ground_truth": "{{item.answer}}"}} for name in ("rouge", "f1", "em", "accuracy")}
        text["bleu"] = {"type": "bleu", "params": {"references": ["{{item.answer}}"]}}
        text["number"] = {"type": "number-check", "params": {"check": ["{{sample.output_text}}", "==", "{{item.answer}}"]}}
        config = chat_config(text, limit_samples=3)
        _, result = evaluate(target, config)
        found = result.tasks["qa"].metrics
        assert found["rouge"].scores["rouge_L_score"].value == found["f1"].scores["f1_score"].value == 1, found
        assert found["number"].scores["number-check"].stats.count == 3, found
        assert found["bleu"].scores["sentence"].value > 99 and "corpus" in found["bleu"].scores, found
        config["tasks"]["qa"].update(type="completion", params={"template": {"prompt": "{{item.question}}"}})
        _, result = evaluate({"type": "model", "model": model.endpoint()}, config)
        assert result.tasks["qa"].metrics["em"].scores["em_score"].value == 1, result
    with record.operation("tool calling"):
        calls = [{"function": {"name": "look", "arguments": {"m": [2], "n": 1}}}]
        upload_dataset(nemo, space, "tools", [{"tools": [{"type": "function", "function": {"name": "look"}}], "tool_calls": calls}], ("t",))
        template = {"messages": [{"role": "user", "content": "go"}], "tools": "{{ item.tools | tojson }}", "tool_choice": "auto"}
        metric = {"type": "tool-calling", "params": {"tool_calls_ground_truth": "{{ item.tool_calls | tojson }}"}}
        task = {"type": "chat-completion", "dataset": {"files_url": f"hf://datasets/{space}/tools"}, "params": {"template": template}, "metrics": {"tc": metric}}
        _, result = evaluate(target, {"type": "custom", "tasks": {"t": task}})
        scores = result.tasks["t"].metrics["tc"].scores
        assert scores["function_name_accuracy"].value == scores["function_name_and_args_accuracy"].value == 1, scores
    with record.operation("a judge"):
        score = {"type": "int", "parser": {"type": "regex", "pattern": r"RATING:\s*(\d+)"}}
        params = {"model": model.endpoint(), "template": {"messages": [{"role": "user", "content": "Rate {{item.text}}"}]}, "scores": {"rate": score}}
        task = {"type": "data", "metrics": {"judge": {"type": "llm-judge", "params": params}}}
        rows = [{"text": "a good one"}, {"text": "a bad one"}]
        _, result = evaluate({"type": "rows", "rows": rows}, {"type": "custom", "tasks": {"j": task}})
        assert result.tasks["j"].metrics["judge"].scores["rate"].value == 3.5, result
    with record.operation("similarity metrics of recorded outputs"):
        rows = [{"prompt": "p", "ideal_response": "the red fox", "response": "red fox"}, {"prompt": "p", "ideal_response": "a dog", "response": "a cat"}]
        upload_dataset(nemo, space, "cached", rows, ("c",))
        wanted = {name: {"type": name} for name in ("accuracy", "bleu", "rouge", "em", "f1")}
        config = {"type": "similarity_metrics", "tasks": {"t": {"type": "default", "metrics": wanted}}}
        _, result = evaluate({"type": "cached_outputs", "cached_outputs": {"files_url": f"hf://datasets/{space}/cached"}}, config)
        scores = result.groups["evaluation"].metrics["evaluation"].scores
        assert scores["em_score"].value == scores["f1_score"].value == 0.5 and "rouge_1_score" in scores, scores
    with record.operation("the reference model, without max_tokens"):
        config = chat_config({"check": CHECK}, parallelism=8)
        del config["tasks"]["qa"]["params"]["template"]["max_tokens"]
        ended, result = evaluate({"type": "model", "model": BASE}, config, seconds=600)
        assert result.tasks["qa"].metrics["check"].scores["string-check"].stats.count == 10, (ended, result)
    with record.operation("files where the job wants them"):
        task = {"type": "data", "metrics": {"m": {"type": "accuracy", "params": {"ground_truth": "{{a}}"}}}}
        where = {"output_files_url": f"hf://datasets/{space}/out/run"}
        rows = {"type": "rows", "rows": [{"a": "x", "output": "x"}]}
        job = nemo.evaluation.jobs.create(target=rows, config={"type": "custom", "tasks": {"t": task}}, **where)
        until(job.id)
        assert nemo.evaluation.jobs.results(job.id).files_url == where["output_files_url"]
        found = hub.list_repo_files(f"{space}/out", repo_type="dataset")
        assert {"run/report.html", "run/results.json", "run/samples/t.jsonl"} <= set(found), found
    with record.operation("hostile templates are stopped"):
        loop = "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}"
        task = {"type": "data", "metrics": {"m": {"type": "string-check", "params": {"check": [loop, "equals", ""]}}}}
        job = nemo.evaluation.jobs.create(target={"type": "rows", "rows": [{"a": 1}]}, config={"type": "custom", "tasks": {"t": task}})
        assert "takes longer" in until(job.id, ("failed",), 30).status_details.message
    with record.operation("what cannot run is refused with the reason"):
        for kind in ("humaneval", "bfclv3_simple", "simpleqa", "aegis_v2", "prompt-optimization", "nonsense"):
            with fails_with(400):
                nemo.evaluation.jobs.create(target=target, config={"type": kind})


def live():
    with record.operation("evaluation.live", "POST /v1/evaluation/live"):
        check = {"type": "string-check", "params": {"check": ["{{some_output}}", "contains", "{{expected}}"]}}
        config = {"type": "custom", "tasks": {"qa": {"type": "data", "metrics": {"accuracy": check}}}}
        before = nemo.evaluation.jobs.list().pagination.total_results
        answer = nemo.evaluation.live(config=config, target={"type": "rows", "rows": [{"some_output": "yes", "expected": "yes"}]})
        assert answer.status == "completed", answer
        score = answer.result.tasks["qa"].metrics["accuracy"].scores["string-check"]
        assert (score.value, score.stats.count, score.stats.mean) == (1, 1, 1), score
        assert nemo.evaluation.jobs.list().pagination.total_results == before
        with fails_with(400):
            nemo.evaluation.live(config=config, target={"type": "model", "model": BASE})


def results():
    resource = nemo.evaluation.results
    made = {}
    with record.operation("results.create", f"POST {RESULTS}"):
        tasks = {"t": {"metrics": {"m": {"scores": {"s": {"value": 0.5}}}}}}
        made["one"] = resource.create(job="eval-by-hand", namespace=space, tasks=tasks)
        assert made["one"].id.startswith("evaluation_result-"), made
    if "one" not in made:
        return
    result_id = made["one"].id
    with record.operation("results.retrieve", f"GET {RESULTS}/{{result_id}}"):
        assert resource.retrieve(result_id).tasks["t"].metrics["m"].scores["s"].value == 0.5
        with fails_with(404):
            resource.retrieve("evaluation_result-absent")
    with record.operation("results.list", f"GET {RESULTS}"):
        assert [one.id for one in resource.list(filter={"job_id": "eval-by-hand"}) if one.namespace == space] == [result_id]
    with record.operation("results.update", f"PATCH {RESULTS}/{{result_id}}"):
        resource.update(result_id, description="changed")
        got = resource.retrieve(result_id)
        assert got.description == "changed" and got.tasks["t"].metrics["m"].scores["s"].value == 0.5, got
    with record.operation("results.delete", f"DELETE {RESULTS}/{{result_id}}"):
        resource.delete(result_id)
        with fails_with(404):
            resource.retrieve(result_id)


def jobs_v2():
    resource = nemo.v2.evaluation.jobs
    made = {}
    spec = {"target": {"type": "model", "model": model.endpoint()}, "config": chat_config({"check": CHECK}, limit_samples=4)}
    with record.operation("v2 jobs.create", f"POST {V2}"):
        made["job"] = resource.create(spec=spec, name="second", namespace=space)
        assert (made["job"].name, made["job"].status) == ("second", "created"), made
        assert KEY not in made["job"].model_dump_json(), made
        with fails_with(400):
            resource.create(spec={**spec, "config": {"type": "mbpp"}})
    if "job" not in made:
        return
    job_id = made["job"].id
    with record.operation("v2 jobs.status", f"GET {V2}/{{job_id}}/status"):
        end = time.monotonic() + 60
        while (status := resource.status.retrieve(job_id)).status != "completed":
            assert status.status in ("created", "active") and time.monotonic() < end, status
            time.sleep(0.1)
        assert status.steps[0].tasks[0].status == "completed", status
    with record.operation("v2 jobs.retrieve", f"GET {V2}/{{job_id}}"):
        got = resource.retrieve(job_id)
        assert got.status == "completed" and got.spec.config.type == "custom", got
        with fails_with(404):
            resource.retrieve("platform-job-absent")
    with record.operation("v2 jobs.list", f"GET {V2}"):
        assert job_id in [one.id for one in resource.list(filter={"namespace": space, "name": "second"}, sort="-created_at")]
    with record.operation("v2 jobs.logs", f"GET {V2}/{{job_id}}/logs"):
        lines = list(resource.logs.list(job_id, limit=2))
        assert lines[0].message == "the job begins" and lines[-1].job_id == job_id and len(lines) > 2, lines
    with record.operation("v2 jobs.results.list", f"GET {V2}/{{job_id}}/results"):
        assert [one.result_name for one in resource.results.list(job_id).data] == ["evaluation-results", "artifacts"]
    with record.operation("v2 jobs.results.retrieve", f"GET {V2}/{{job_id}}/results/{{result_name}}"):
        assert resource.results.retrieve("artifacts", job_id=job_id).artifact_storage_type == "nds"
    with record.operation("v2 evaluation-results", f"GET {V2}/{{job_id}}/results/evaluation-results/download"):
        found = resource.results.evaluation_results.retrieve(job_id)
        assert found.tasks["qa"].metrics["check"].scores["string-check"].value == 1, found
    with record.operation("v2 artifacts", f"GET {V2}/{{job_id}}/results/artifacts/download"):
        data = resource.results.artifacts.retrieve(job_id).read()
        names = tarfile.open(fileobj=io.BytesIO(data), mode="r:gz").getnames()
        assert "report.html" in names and KEY.encode() not in data, names
    with record.operation("v2 jobs.results.download", f"GET {V2}/{{job_id}}/results/{{result_name}}/download"):
        assert "qa" in json.loads(resource.results.download("evaluation-results", job_id=job_id).read())["tasks"]
    with record.operation("v2 jobs.cancel", f"POST {V2}/{{job_id}}/cancel"):
        slow = {"target": {"type": "model", "model": BASE}, "config": chat_config({"check": CHECK}, parallelism=1)}
        slow["config"]["tasks"]["qa"]["params"]["template"]["max_tokens"] = 512
        other = resource.create(spec=slow, namespace=space)
        resource.cancel(other.id)
        end = time.monotonic() + 10
        while resource.retrieve(other.id).status != "cancelled":
            assert time.monotonic() < end
            time.sleep(0.1)
    with record.operation("v2 jobs.delete", f"DELETE {V2}/{{job_id}}"):
        resource.delete(job_id)
        with fails_with(404):
            resource.retrieve(job_id)


entities(nemo.evaluation.targets, TARGETS, "target_name", "eval-target-", {"type": "model", "model": model.endpoint()})
entities(nemo.evaluation.configs, CONFIGS, "config_name", "eval-config-", chat_config({"check": CHECK}))
jobs()
metrics()
live()
results()
jobs_v2()
record.done()
