# SPDX-License-Identifier: Apache-2.0
"""Runs the cases of a file through nemoguardrails, with a scripted model, and prints what each one is answered."""

import asyncio
import http.server
import json
import logging
import os
import re
import sys
import threading
import types

os.environ["OPENAI_API_KEY"] = "none"
logging.disable(logging.CRITICAL)
case = {}
used = {}


def next_of(kind: str, values: list):
    """The values of a script one after the other; the last one stays."""
    at = used.get(kind, 0)
    used[kind] = at + 1
    return values[min(at, len(values) - 1)]


def scripted(asked: str):
    if asked.startswith("JUDGE"):
        if "judgeYes" in case:
            return "Yes" if case["judgeYes"] in asked else "No"
        return case["judge"]
    task = asked.split()[1] if asked.startswith("TASK") else "general"
    says = case.get("says", {}).get(task)
    return next_of(task, says) if says else case["main"]


class Model(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = body["messages"][0]["content"]
        said = scripted(asked) if isinstance(asked, str) else case["main"]
        if body.get("stream") and not asked.startswith(("JUDGE", "TASK")):
            return self.stream(body["model"], case.get("stream") or [said])
        status = said if isinstance(said, int) else 200
        message = {"role": "assistant", "content": said}
        if case.get("calls") and not asked.startswith(("JUDGE", "TASK")):
            calls = [{"id": f"c{i}", "type": "function", "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])}} for i, c in enumerate(case["calls"])]
            message = {"role": "assistant", "content": "", "tool_calls": calls}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        fine = {"id": "a", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice], "usage": usage}
        self.send(status, "application/json", json.dumps(fine if status == 200 else {"error": {"message": "down"}}).encode())

    def stream(self, model: str, chunks: list):
        def event(delta: dict, reason=None):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            return f"data: {json.dumps({'id': 'a', 'object': 'chat.completion.chunk', 'created': 1, 'model': model, 'choices': [choice]})}\n\n"

        parts = [event({"content": c}) for c in chunks] + [event({}, "stop"), "data: [DONE]\n\n"]
        self.send(200, "text/event-stream", "".join(parts).encode())

    def send(self, status: int, kind: str, answer: bytes):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def vector(text: str) -> list:
    """Words counted in 64 places; bench/guardrails-ours.ts does the same."""
    counts = [0.0] * 64
    for word in re.findall("[a-z0-9]+", text.lower()):
        counts[sum(map(ord, word)) % 64] += 1
    return counts


class Words:
    engine_name = "words"

    def __init__(self, embedding_model: str, **_):
        pass

    async def encode_async(self, documents: list) -> list:
        return [vector(text) for text in documents]

    def encode(self, documents: list) -> list:
        return [vector(text) for text in documents]


def inject_perplexity():
    """The heuristics load a large model when they are imported; the scores of the case take its place."""
    class Any(types.ModuleType):
        def __getattr__(self, name):
            return Any(name)

        def __call__(self, *_, **__):
            return self

    held = {name: sys.modules.get(name) for name in ("torch", "transformers")}
    sys.modules.update({name: Any(name) for name in held})
    from nemoguardrails.library.jailbreak_detection.heuristics import checks

    for name, module in held.items():
        sys.modules.pop(name)
        if module:
            sys.modules[name] = module
    checks.get_perplexity = perplexity


def perplexity(text: str) -> float:
    """The score of the whole text, or that of an end of it by whether the case's word is in it."""
    scores = case["perplexity"]
    if text == case["user"]:
        return scores["whole"]
    return scores["edge"] if scores.get("word", "\n") in text else 20.0


def action(name: str, values: list):
    async def run(**parameters):
        value = next_of(f"action {name}", values)
        if isinstance(value, dict) and "fail" in value:
            raise ValueError("failed")
        if isinstance(value, dict) and "echo" in value:
            return parameters[value["echo"]]
        return value

    return run


def rails_of(url: str, models: list):
    from nemoguardrails import LLMRails, RailsConfig

    lines = [f'  - {{type: {kind}, engine: openai, model: m, parameters: {{base_url: "{url}", max_retries: 0}}}}' for kind in models]
    core = "core: {embedding_search_provider: {name: default, parameters: {embedding_engine: words, embedding_model: words}}}\n"
    yaml = "models:\n" + "\n".join(lines) + "\n" + core + case["yaml"]
    rails = LLMRails(RailsConfig.from_content(yaml_content=yaml, colang_content=case.get("there", "") + case.get("colang", "")))
    for name, values in case.get("actions", {}).items():
        rails.register_action(action(name, values), name)
    return rails


def said_in(result) -> str:
    message = result if isinstance(result, dict) else result.response[-1]
    content = message["content"]
    # A refusal comes with the calls that it refuses.
    if case.get("calls") and content == "":
        return "calls " + ", ".join(call["function"]["name"] for call in result.tool_calls)
    return content if isinstance(content, str) else json.dumps(content)


def answer(url: str, models: list) -> str:
    rails = rails_of(url, models)
    context = [{"role": "context", "content": case["context"]}] if case.get("context") else []
    options = {"rails": case["rails"]} if case.get("rails") else None
    if case.get("turns"):
        messages, said = context, []
        for user in case["turns"]:
            messages = [*messages, {"role": "user", "content": user}]
            said.append(said_in(rails.generate(messages=messages, options=options)))
            messages = [*messages, {"role": "assistant", "content": said[-1]}]
        return " / ".join(said)
    messages = case.get("messages") or [{"role": "user", "content": case["user"]}]
    if case.get("assistant"):
        messages = [*messages, {"role": "assistant", "content": case["assistant"]}]
    if case.get("stream"):
        return asyncio.run(streamed(rails, context + messages))
    return said_in(rails.generate(messages=context + messages, options=options or ({"llm_output": False} if case.get("calls") else None)))


async def streamed(rails, messages: list) -> str:
    text = ""
    async for chunk in rails.stream_async(messages=messages):
        if chunk.startswith('{"error"'):
            error = json.loads(chunk)["error"]
            return f"{text} [stopped by {error['param']}]" if error["code"] == "content_blocked" else f"{text} [failed]"
        text += chunk
    return text


def main():
    global case
    from nemoguardrails.embeddings.providers import register_embedding_provider

    register_embedding_provider(Words)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    given = json.load(open(sys.argv[1]))
    for case in given["cases"]:
        used.clear()
        if "perplexity" in case:
            inject_perplexity()
        try:
            told = {"text": answer(f"http://127.0.0.1:{server.server_port}/v1", given["models"])}
        except Exception as error:
            told = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        print("CASE " + json.dumps({"id": case["id"], **told}), flush=True)


main()
