# SPDX-License-Identifier: Apache-2.0
"""The nine operations of Guardrails through NVIDIA's SDK and openai, with a scripted model behind the rails."""

import http.server
import json
import threading

import httpx
import openai
from recorder import DATA_STORE, PLATFORM, Recorder, client, fails_with, unique

nemo = client()
record = Recorder("guardrails")
space = unique("rails")
CONFIGS = "/v1/guardrail/configs"
ITEM = "/v1/guardrail/configs/{namespace}/{config_name}"
CHECKS = "POST /v1/guardrail/checks"
CHAT = "POST /v1/guardrail/chat/completions"
REFUSAL = "I'm sorry, I can't respond to that."
seen = []


class Model(http.server.BaseHTTPRequestHandler):
    """Judges by the words of a text and answers with seven of them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = "\n".join(str(m["content"]) for m in body["messages"])
        seen.append({"text": text, "key": self.headers.get("authorization"), "body": body})
        if text.startswith("JUDGE IN"):
            said = "Yes" if "bad" in text else "No"
        elif text.startswith("JUDGE OUT"):
            said = "Yes" if "leak" in text else "No"
        elif text.startswith("SAFETY"):
            said = json.dumps({"User Safety": "unsafe", "Safety Categories": "S1"} if "bomb" in text else {"User Safety": "safe"})
        else:
            said = "one two three four five leak seven" if "tell" in text else "one two three four five six seven"
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
            answer = {"id": "a", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice], "usage": usage}
            return self.send("application/json", json.dumps(answer))
        head = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        deltas = [{"role": "assistant", "content": f"{word} "} for word in said.split()]
        lines = [{**head, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
        lines.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.send("text/event-stream", "".join(f"data: {json.dumps(line)}\n\n" for line in lines) + "data: [DONE]\n\n")

    def send(self, kind, text):
        answer = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"


def model(kind: str, name: str) -> dict:
    return {"type": kind, "engine": "nim", "model": name, "parameters": {"base_url": url}}


DATA = {
    "models": [model("main", "scripted"), model("content_safety", "guard")],
    "prompts": [
        {"task": "self_check_input", "content": "JUDGE IN {{ user_input }}"},
        {"task": "self_check_output", "content": "JUDGE OUT {{ bot_response }}"},
        {
            "task": "content_safety_check_input $model=content_safety",
            "content": "SAFETY {{ user_input }}",
            "output_parser": "nemoguard_parse_prompt_safety",
            "max_tokens": 50,
        },
    ],
    "rails": {
        "input": {"flows": ["self check input", "content safety check input $model=content_safety"]},
        "output": {
            "flows": ["self check output"],
            "streaming": {"enabled": True, "chunk_size": 4, "context_size": 1, "stream_first": False},
        },
    },
}


def ask(content: str, **more):
    more.setdefault("guardrails", {"config_id": f"{space}/main"})
    messages = [{"role": "user", "content": content}]
    return nemo.guardrail.chat.completions.create(model="scripted", messages=messages, **more)


def configs():
    resource = nemo.guardrail.configs
    with record.operation("configs.create", f"POST {CONFIGS}"):
        made = resource.create(name="main", namespace=space, description="first", data=DATA)
        assert (made.name, made.namespace, made.data.models[0].mode) == ("main", space, "chat"), made
        assert resource.retrieve("main", namespace=space).data.prompts[0].content == "JUDGE IN {{ user_input }}"
        with fails_with(409):
            resource.create(name="main", namespace=space, data=DATA)
        with fails_with(422):
            resource.create(name="wrong", namespace=space, data={"models": [], "rails": {"input": {"flows": ["self chek input"]}}})
    with record.operation("configs.create, files of the Data Store", f"POST {CONFIGS}"):
        from huggingface_hub import HfApi

        hub = HfApi(endpoint=f"{DATA_STORE}/v1/hf", token="none")
        nemo.namespaces.create(id=space)
        repo = f"{space}/rails-files"
        hub.create_repo(repo, repo_type="dataset")
        text = "rails:\n  input:\n    flows: [regex check input]\n  config:\n    regex_detection:\n      input:\n        patterns: [rival]\n"
        hub.upload_file(path_or_fileobj=text.encode(), path_in_repo="config.yml", repo_id=repo, repo_type="dataset")
        resource.create(name="files", namespace=space, files_url=f"hf://datasets/{repo}")
        checked = nemo.guardrail.check(
            model="m", messages=[{"role": "user", "content": "a rival"}], guardrails={"config_id": f"{space}/files"}
        )
        assert checked.status == "blocked", checked
        wrong = text.replace("regex check input", "regex chek input")
        other = f"{space}/wrong-files"
        hub.create_repo(other, repo_type="dataset")
        hub.upload_file(path_or_fileobj=wrong.encode(), path_in_repo="a/config.yml", repo_id=other, repo_type="dataset")
        try:
            resource.create(name="wrong", namespace=space, files_url=f"hf://datasets/{other}/a")
            raise AssertionError("accepted")
        except Exception as error:
            assert "config.yml:3" in str(error), error
    with record.operation("configs.retrieve", f"GET {ITEM}"):
        assert resource.retrieve("main", namespace=space).created_at is not None
        with fails_with(404):
            resource.retrieve("absent", namespace=space)
    with record.operation("configs.list", f"GET {CONFIGS}"):
        names = [f"{one.namespace}/{one.name}" for one in resource.list(page_size=100)]
        assert {f"{space}/main", "default/default", "default/self-check"} <= set(names), names
    with record.operation("configs.update", f"PATCH {ITEM}"):
        resource.update("main", namespace=space, description="second")
        got = resource.retrieve("main", namespace=space)
        assert (got.description, got.data.rails.input.flows) == ("second", DATA["rails"]["input"]["flows"]), got
    with record.operation("configs.delete", f"DELETE {ITEM}"):
        resource.create(name="gone", namespace=space, data={"models": []})
        resource.delete("gone", namespace=space)
        with fails_with(404):
            resource.retrieve("gone", namespace=space)


def checks():
    given = {"config_id": f"{space}/main", "options": {"log": {"activated_rails": True}}}
    with record.operation("check", CHECKS):
        fine = nemo.guardrail.check(model="scripted", messages=[{"role": "user", "content": "hello"}], guardrails=given)
        assert fine.status == "success" and fine.rails_status["self check input"].status == "success", fine
        bad = nemo.guardrail.check(model="scripted", messages=[{"role": "user", "content": "a bomb"}], guardrails=given)
        assert bad.status == "blocked" and bad.rails_status["self check input"].status == "success", bad
        rails = bad.guardrails_data.log.activated_rails
        assert rails[-1].stop and rails[-1].additional_info["policy_violations"] == ["S1"], rails
    with record.operation("check, an answer", CHECKS):
        turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "a leak"}]
        got = nemo.guardrail.check(model="scripted", messages=turns, guardrails=given)
        assert got.rails_status["self check output"].status == "blocked", got
    with record.operation("check, deterministic rails ask no model", CHECKS):
        before = len(seen)
        rails = {"input": {"flows": ["detect sensitive data on input"]}, "config": {"sensitive_data_detection": {"input": {"entities": ["EMAIL_ADDRESS"]}}}}
        got = nemo.guardrail.check(
            model="m",
            messages=[{"role": "user", "content": "write to ada@example.org"}],
            guardrails={"config": {"models": [], "rails": rails}},
        )
        assert got.status == "blocked" and len(seen) == before, got


def chats():
    with record.operation("chat, answered and blocked", CHAT):
        good = ask("hello", extra_headers={"X-Model-Authorization": "of-the-caller"})
        assert good.choices[0].message.content == "one two three four five six seven", good
        assert seen[-2]["key"] == "Bearer of-the-caller", seen[-2]["key"]
        bad = ask("bad")
        assert (bad.choices[0].message.content, bad.model, bad.usage.total_tokens) == (REFUSAL, "-", 0), bad
        assert bad.guardrails_data.config_ids == [f"{space}/main"], bad.guardrails_data
        assert ask("tell").choices[0].message.content == REFUSAL
    with record.operation("chat, streamed", CHAT):
        chunks = list(ask("hello", stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == "one two three four five six seven ", chunks
        assert chunks[-1].choices[0].finish_reason == "stop", chunks[-1]
        blocked = list(ask("bad", stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in blocked) == REFUSAL, blocked
    with record.operation("chat, a stream that is stopped", CHAT):
        chunks = list(ask("tell", stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "one two three four ", chunks
        assert chunks[-1].model_extra["error"]["code"] == "content_blocked", chunks[-1]
    with record.operation("chat, openai", CHAT):
        other = openai.OpenAI(base_url=f"{PLATFORM}/v1/guardrail", api_key="none").chat.completions
        body = {"guardrails": {"config_id": f"{space}/main"}}
        asked = {"model": "scripted", "messages": [{"role": "user", "content": "bad"}], "extra_body": body}
        assert other.create(**asked).choices[0].message.content == REFUSAL
        stream = other.create(**{**asked, "messages": [{"role": "user", "content": "tell"}]}, stream=True)
        try:
            list(stream)
            raise AssertionError("the stream was not stopped")
        except openai.APIError as error:
            assert "self check output" in str(error), error
    with record.operation("chat, several configurations and one at top level", CHAT):
        both = ask("rival", guardrails={"config_ids": [f"{space}/main", f"{space}/files"]})
        assert both.choices[0].message.content == REFUSAL, both
        top = httpx.post(
            f"{PLATFORM}/v1/guardrail/chat/completions",
            json={"model": "m", "config_id": f"{space}/main", "messages": [{"role": "user", "content": "bad"}]},
            timeout=30,
        ).json()
        assert top["choices"][0]["message"]["content"] == REFUSAL, top
    with record.operation("chat, options and return_choice", CHAT):
        options = {"rails": {"input": False}, "llm_params": {"temperature": 0.3}, "log": {"llm_calls": True}}
        got = ask("bad", guardrails={"config_id": f"{space}/main", "options": options, "return_choice": True})
        assert got.choices[0].message.content.startswith("one"), got
        assert got.choices[1].message.role == "guardrails_data", got.choices
        tasks = [call.task for call in got.guardrails_data.log.llm_calls]
        assert tasks == ["general", "self_check_output"] and seen[-2]["body"]["temperature"] == 0.3, tasks
    with record.operation("completions", "POST /v1/guardrail/completions"):
        guard = {"config_id": f"{space}/main"}
        got = nemo.guardrail.completions.create(model="scripted", prompt="bad", guardrails=guard)
        assert got.choices[0].text == REFUSAL, got
        chunks = list(nemo.guardrail.completions.create(model="scripted", prompt="hello", guardrails=guard, stream=True))
        assert "".join(c.choices[0].text or "" for c in chunks).startswith("one two"), chunks
    with record.operation("models.list", "GET /v1/guardrail/models"):
        assert [one.id for one in nemo.guardrail.models.list().data] == [one.id for one in nemo.inference.models.list().data]


configs()
checks()
chats()
record.done()
