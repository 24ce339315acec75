# SPDX-License-Identifier: Apache-2.0
"""From a file to an answer with the stock openai client, as docs/customizer.md shows it, with real training."""

import json
import time

import openai
from recorder import PLATFORM, Recorder, fails_with

client = openai.OpenAI(base_url=f"{PLATFORM}/v1", api_key="none", max_retries=0)
record = Recorder("openai tuning")
MODEL = "smollm2/smollm2-135m-instruct"
ENDED = ("succeeded", "failed", "cancelled")


def question(number: int) -> dict:
    return {"role": "user", "content": f"What colour is item {number}?"}


ROWS = [{"messages": [question(n), {"role": "assistant", "content": "It is green."}]} for n in range(32)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def ended(job_id: str):
    until = time.monotonic() + 900
    while (found := client.fine_tuning.jobs.retrieve(job_id)).status not in ENDED:
        assert time.monotonic() < until, found
        time.sleep(1)
    return found


with record.operation("upload a file, and read it back"):
    file = client.files.create(file=("chats.jsonl", LINES), purpose="fine-tune")
    assert (file.bytes, file.filename, file.purpose) == (len(LINES), "chats.jsonl", "fine-tune"), file
    assert client.files.content(file.id).content == LINES
    assert client.files.retrieve(file.id) == file
with record.operation("list files in pages"):
    other = client.files.create(file=("other.jsonl", LINES), purpose="fine-tune")
    page = client.files.list(limit=1)
    assert [one.id for one in page.data] == [other.id] and page.has_next_page()
    assert {file.id, other.id} <= {one.id for one in page}
with record.operation("a file says when it expires, if it does"):
    policy = {"anchor": "created_at", "seconds": 3600}
    brief = client.files.create(file=("brief.jsonl", LINES), purpose="fine-tune", expires_after=policy)
    assert brief.expires_at == brief.created_at + 3600 and file.expires_at is None, brief
    assert client.files.delete(brief.id).deleted
    try:
        client.files.create(file=("brief.jsonl", LINES), purpose="fine-tune", expires_after={**policy, "seconds": 60})
    except openai.APIStatusError as error:
        assert str(error.param).startswith("expires_after"), error.param
    else:
        raise AssertionError("a life of 60 seconds was accepted")
with record.operation("refusals name the parameter"):
    for wrong in (
        {"training_file": "nope"},
        {"training_file": "file-none"},
        {"model": "gpt-4o"},
        {"hyperparameters": {"n_epochs": 0}},
        {"method": {"type": "dpo"}},
    ):
        try:
            client.fine_tuning.jobs.create(**{"model": MODEL, "training_file": file.id, **wrong})
        except openai.APIStatusError as error:
            assert str(error.param).split(".")[0] == next(iter(wrong)), (wrong, error.param)
        else:
            raise AssertionError(f"{wrong} was accepted")
    with fails_with(404):
        client.fine_tuning.jobs.retrieve("ftjob-none")
with record.operation("a job is trained, from its file to its model"):
    job = client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=file.id,
        suffix="support",
        hyperparameters={"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 20},
        metadata={"driver": file.id},
    )
    assert job.training_file == file.id and job.fine_tuned_model is None, job
    job = ended(job.id)
    assert job.status == "succeeded" and "support" in str(job.fine_tuned_model), job
with record.operation("chat with the tuned model, whole and in a stream"):
    asked = {"model": job.fine_tuned_model, "temperature": 0, "max_tokens": 12, "messages": [question(99)]}
    answer = client.chat.completions.create(**asked).choices[0].message.content
    # the model that was tuned knows no item 99
    before = client.chat.completions.create(**{**asked, "model": MODEL}).choices[0].message.content
    assert "is green" in answer and "is green" not in before, (answer, before)
    stream = client.chat.completions.create(**asked, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == answer
with record.operation("events and the checkpoint of a job"):
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=5))
    losses = [one.data["train_loss"] for one in events if one.type == "metrics" and "train_loss" in one.data]
    # newest first
    assert len(losses) > 1 and losses[0] < losses[-1], losses
    assert len({one.id for one in events}) == len(events)
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert [one.fine_tuned_model_checkpoint for one in checkpoints] == [job.fine_tuned_model], checkpoints
with record.operation("cancel a job, once"):
    stopped = client.fine_tuning.jobs.create(model=MODEL, training_file=other.id)
    client.fine_tuning.jobs.cancel(stopped.id)
    assert ended(stopped.id).status == "cancelled"
    with fails_with(409):
        client.fine_tuning.jobs.cancel(stopped.id)
with record.operation("list jobs by their metadata"):
    assert [one.id for one in client.fine_tuning.jobs.list(metadata={"driver": file.id})] == [job.id]
    assert client.fine_tuning.jobs.list(limit=1).data[0].id == stopped.id
with record.operation("delete files"):
    for one in (file, other):
        assert client.files.delete(one.id).deleted
        with fails_with(404):
            client.files.retrieve(one.id)
        with fails_with(404):
            client.files.content(one.id)
record.done()
