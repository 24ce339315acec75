# SPDX-License-Identifier: Apache-2.0
"""Evaluations of retrievers, RAG and agents through NVIDIA's SDK: the platform's embedding model, a scripted judge."""

import json
import math
import time

from datasets import hub
from recorder import NIM, Recorder, client, fails_with, unique
from scripted_model import ScriptedModel

nemo = client()
record = Recorder("evaluation")
space = unique("pipelines")
KEY = "sk-pipelines-secret-88213"
EMBEDDER = {"api_endpoint": {"url": f"{NIM}/v1/embeddings", "model_id": "sentence-transformers/all-MiniLM-L6-v2"}}
CORPUS = [
    ("sea", "The blue whale is the largest animal of the sea and eats krill."),
    ("bread", "Bread is baked from flour, water, salt and yeast."),
    ("paris", "Paris is the capital of France and lies on the Seine."),
    ("moon", "The moon orbits the earth once in about 27 days."),
    ("chess", "In chess the bishop moves diagonally and the rook in straight lines."),
]
QUERIES = [
    ("q1", "Which animal in the ocean is the biggest?", {"sea": 1}),
    ("q2", "What is the capital city of France?", {"paris": 1}),
    ("q3", "How do you bake bread?", {"bread": 2, "moon": 1}),
]


def judged(body):
    """A judge with JSON answers to the questions of the metrics, and the model that answers in a RAG pipeline."""
    question = body["messages"][-1]["content"]
    if "short statements" in question:
        return '{"statements": ["Paris is the capital.", "Paris is on the moon."]}'
    if "follows from the context" in question:
        return '```json\n{"verdicts": [{"verdict": 1}, {"verdict": 0}]}\n```'
    if "questions that the answer" in question:
        return '{"questions": [{"question": "What is the capital city of France?"}]}'
    if "useful to arrive" in question:
        return json.dumps({"verdict": 1 if "Context: Paris" in question else 0})
    if "attributed to the context" in question:
        return '{"classifications": [{"statement": "x", "attributed": 1}]}'
    if "what state it ended in" in question:
        return '{"user_goal": "know the weather", "end_state": "it was told"}'
    if "outcome that was reached agree" in question:
        return '{"verdict": 1}'
    if "Mark how well" in question:
        return '{"score": 4}'
    if "Rate how far" in question or "rating" in question:
        return '{"rating": 2}'
    return f"Paris is the capital of France, says {KEY}."


judge = ScriptedModel(judged, KEY)


def upload(name: str, files: dict[str, str]) -> str:
    repo = f"{space}/{name}"
    hub.create_repo(repo, repo_type="dataset")
    for path, text in files.items():
        hub.upload_file(path_or_fileobj=text.encode(), path_in_repo=path, repo_id=repo, repo_type="dataset")
    return f"hf://datasets/{repo}"


def jsonl(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def evaluate(target: dict, config: dict, seconds: float = 300):
    job = nemo.evaluation.jobs.create(target=target, config=config, namespace=space)
    assert KEY not in job.model_dump_json(), job
    end = time.monotonic() + seconds
    while (found := nemo.evaluation.jobs.retrieve(job.id)).status not in ("completed", "failed", "cancelled"):
        assert time.monotonic() < end, found
        time.sleep(0.2)
    assert found.status == "completed", found.status_details
    result = nemo.evaluation.jobs.results(job.id)
    assert KEY not in result.model_dump_json(), result
    return result


PIPELINE = {"query_embedding_model": EMBEDDER, "index_embedding_model": EMBEDDER, "top_k": 3}
beir = upload(
    "beir",
    {
        "corpus.jsonl": jsonl({"_id": id, "title": "", "text": text} for id, text in CORPUS),
        "queries.jsonl": jsonl({"_id": id, "text": text} for id, text, _ in QUERIES),
        "qrels/test.tsv": "query-id\tcorpus-id\tscore\n"
        + "".join(f"{id}\t{doc}\t{gain}\n" for id, _, gains in QUERIES for doc, gain in gains.items()),
    },
)

with record.operation("a retriever on a BEIR folder of the Data Store"):
    wanted = ("recall_1", "recall_3", "ndcg_cut_3", "P_1", "recip_rank", "map_cut_3")
    task = {"type": "beir", "dataset": {"files_url": beir}, "metrics": {name: {"type": name} for name in wanted}}
    target = {"type": "retriever", "retriever": {"pipeline": PIPELINE}}
    result = evaluate(target, {"type": "retriever", "tasks": {"small": task}})
    metrics = result.tasks["small"].metrics
    value = lambda name: metrics[f"retriever.{name}"].scores[name].value
    # The one right document of q1 and q2 is found first; of q3's two the better one.
    assert value("P_1") == value("recip_rank") == 1, metrics
    assert abs(value("recall_1") - (1 + 1 + 0.5) / 3) < 1e-9, metrics
    assert value("ndcg_cut_3") > 0.85 and value("recall_3") >= value("recall_1"), metrics
    old = result.groups["evaluation"].metrics["evaluation"].scores
    assert old["recall_1"].value == value("recall_1"), old

with record.operation("a RAG pipeline with a judge"):
    types = ("faithfulness", "answer_relevancy", "context_precision", "context_recall")
    params = {"judge_llm": judge.endpoint(), "judge_embeddings": EMBEDDER, "judge_timeout": 60}
    task = {
        "type": "beir",
        "dataset": {"files_url": beir},
        "params": params,
        "metrics": {"r": {"type": "recall_3"}, "f": {"type": "faithfulness"}, "a": {"type": "answer_relevancy"}},
    }
    rag = {"pipeline": {"retriever": {"pipeline": PIPELINE}, "model": judge.endpoint()}}
    result = evaluate({"type": "rag", "rag": rag}, {"type": "rag", "tasks": {"t": task}})
    scores = {name: found for metric in result.tasks["t"].metrics.values() for name, found in metric.scores.items()}
    assert scores["faithfulness"].value == 0.5 and scores["faithfulness"].stats.count == 3, scores
    assert 0.3 < scores["answer_relevancy"].value < 1, scores

with record.operation("recorded RAG answers with a judge"):
    row = {
        "question": "What is the capital city of France?",
        "answer": "Paris is the capital. Paris is on the moon.",
        "contexts": [CORPUS[1][1], CORPUS[2][1]],
        "ground_truth": "Paris",
    }
    answers = upload("answers", {"rows.jsonl": jsonl([row])})
    task = {"type": "ragas", "params": params, "metrics": {name: {"type": name} for name in types}}
    cached = {"type": "rag", "rag": {"cached_outputs": {"files_url": answers}}}
    result = evaluate(cached, {"type": "rag", "tasks": {"t": task}})
    value = lambda name: result.tasks["t"].metrics[f"rag.{name}"].scores[name].value
    found = {name: value(name) for name in types}
    assert found["faithfulness"] == 0.5 and found["context_precision"] == 0.5 and found["context_recall"] == 1, found
    # The judge guesses the very question that was asked.
    assert math.isclose(found["answer_relevancy"], 1, abs_tol=1e-5), found

with record.operation("agents: tool calls, goals, answers, trajectories"):
    call = lambda city: {"name": "weather", "args": {"city": city}}
    talk = [
        {"type": "human", "content": "Weather in Rome?"},
        {"type": "ai", "content": "", "tool_calls": [call("Rome")]},
        {"type": "tool", "content": "21"},
        {"type": "ai", "content": "It is 21 degrees."},
    ]
    row = {
        "user_input": talk,
        "reference_tool_calls": [call("Rome")],
        "reference": "the user was told the weather",
        "question": "Weather in Rome?",
        "response": "It is 21 degrees.",
        "generated_answer": "It is 21 degrees.",
        "answer": "21",
        "intermediate_steps": [["weather", "21"]],
    }
    talks = upload("talks", {"rows.jsonl": jsonl([row, {**row, "reference_tool_calls": [call("Oslo")]}])})
    target = {"type": "cached_outputs", "cached_outputs": {"files_url": talks}}
    params = {"judge": {"model": judge.endpoint()}}
    for kind, score, low, high in (
        ("tool_call_accuracy", "tool_call_accuracy", 0.5, 0.5),
        ("goal_accuracy_with_reference", "agent_goal_accuracy", 1, 1),
        ("trajectory_evaluation", "trajectory_evaluation", 0, 1),
        ("answer_accuracy", "answer_accuracy", 0, 1),
    ):
        result = evaluate(target, {"type": "agentic", "tasks": {"t": {"type": kind, "params": params}}})
        found = result.tasks["t"].metrics[score].scores[score]
        assert low <= found.value <= high and found.stats.count == 2, (kind, found)

with record.operation("retrievers and RAG that could not run are refused"):
    task = {"type": "beir", "dataset": {"files_url": beir}, "metrics": {"m": {"type": "telepathy"}}}
    for metric, pipeline in (("telepathy", PIPELINE), ("recall_3", {**PIPELINE, "query_embedding_model": "no/model"})):
        bad = {**task, "metrics": {"m": {"type": metric}}}
        target = {"type": "retriever", "retriever": {"pipeline": pipeline}}
        with fails_with(404 if metric == "recall_3" else 400):
            nemo.evaluation.jobs.create(target=target, config={"type": "retriever", "tasks": {"t": bad}})

record.done()
