# SPDX-License-Identifier: Apache-2.0
"""The NIM through NVIDIA's SDK, the openai client and plain HTTP."""

import http.server
import json
import threading
import time

import httpx
import openai
from recorder import NIM, Recorder, client, fails_with

nemo = client()
chat = openai.OpenAI(base_url=f"{NIM}/v1", api_key="none").chat.completions
text = openai.OpenAI(base_url=f"{NIM}/v1", api_key="none").completions
record = Recorder("inference")
READY_WITHIN = 600
CHAT = "POST /v1/chat/completions"
COMPLETIONS = "POST /v1/completions"
# Whatever the processor rounds, the answer holds the word: it is not one of two that are nearly as likely.
GRAVITY = [{"role": "user", "content": "What is gravity?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
        },
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def get(path: str):
    return httpx.get(f"{NIM}{path}", timeout=30)


def health():
    with record.operation("health/ready", "GET /v1/health/ready"):
        until = time.monotonic() + READY_WITHIN
        while (answer := get("/v1/health/ready")).status_code == 503 and time.monotonic() < until:
            assert answer.json()["object"] == "error" and answer.json()["message"], answer.text
            time.sleep(1)
        assert (answer.status_code, answer.json()["object"]) == (200, "health.response"), answer.text
    with record.operation("health/live", "GET /v1/health/live"):
        answer = get("/v1/health/live")
        assert (answer.status_code, answer.json()["object"]) == (200, "health.response"), answer.text


def about() -> str:
    with record.operation("inference.models.list", "GET /v1/models"):
        by_sdk = [one.id for one in nemo.inference.models.list().data]
        by_openai = [one.id for one in openai.OpenAI(base_url=f"{NIM}/v1", api_key="none").models.list()]
        assert by_sdk == by_openai and by_sdk, (by_sdk, by_openai)
    with record.operation("metadata", "GET /v1/metadata"):
        info = get("/v1/metadata").json()
        assert info["version"] and info["modelInfo"] and info["licenseInfo"], info
    with record.operation("version", "GET /v1/version"):
        answer = get("/v1/version").json()
        assert answer["release"] and answer["api"], answer
    with record.operation("license", "GET /v1/license"):
        answer = get("/v1/license")
        assert answer.status_code == 200 and answer.json()["content"], answer.text
    with record.operation("metrics", "GET /v1/metrics"):
        answer = get("/v1/metrics")
        assert answer.status_code == 200 and "# TYPE" in answer.text, answer.text[:300]
    return nemo.inference.models.list().data[0].id


def chats(model: str):
    with record.operation("chat, SDK", CHAT):
        answer = nemo.chat.completions.create(model=model, messages=GRAVITY, max_tokens=24, temperature=0)
        choice = answer.choices[0]
        assert "ravity" in choice.message.content and answer.model == model, answer
        usage = answer.usage
        assert usage.prompt_tokens > 5 and 0 < usage.completion_tokens <= 24, usage
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage
    with record.operation("chat, SDK, streamed", CHAT):
        chunks = list(nemo.chat.completions.create(model=model, messages=GRAVITY, max_tokens=24, temperature=0, stream=True))
        whole = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert len(chunks) > 3 and "ravity" in whole, whole
    with record.operation("chat, openai", CHAT):
        answer = chat.create(model=model, messages=GRAVITY, max_tokens=24, temperature=0)
        assert answer.choices[0].message.content == whole and answer.object == "chat.completion", answer
    with record.operation("chat, openai, streamed with usage", CHAT):
        stream = chat.create(
            model=model, messages=GRAVITY, max_tokens=24, temperature=0, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
        assert chunks[-1].usage.completion_tokens > 0 and not chunks[-1].choices, chunks[-1]
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] in ("stop", "length")
    with record.operation("chat, max_tokens", CHAT):
        answer = chat.create(model=model, messages=GRAVITY, max_tokens=3, temperature=0)
        assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 3), answer
    with record.operation("chat, stop", CHAT):
        answer = chat.create(model=model, messages=GRAVITY, max_tokens=24, temperature=0, stop=["ravity"])
        assert "ravity" not in answer.choices[0].message.content, answer
        assert answer.choices[0].finish_reason == "stop", answer
    with record.operation("chat, seed", CHAT):
        story = [{"role": "user", "content": "Invent a name for a boat."}]

        def told(seed):
            answer = chat.create(model=model, messages=story, max_tokens=24, temperature=1.5, top_p=0.95, seed=seed)
            return answer.choices[0].message.content

        assert told(1) == told(1), "the same seed gave two answers"
        assert len({told(seed) for seed in range(1, 5)}) > 1, "four seeds gave one answer"
    with record.operation("chat, system and earlier turns", CHAT):
        turns = [
            {"role": "system", "content": "You answer briefly."},
            {"role": "user", "content": "What is gravity?"},
            {"role": "assistant", "content": "A force."},
            {"role": "user", "content": "Say more about it."},
        ]

        def prompt_tokens(messages):
            return chat.create(model=model, messages=messages, max_tokens=1).usage.prompt_tokens

        assert prompt_tokens(turns) > prompt_tokens(turns[:2]), "turns are left out"
        wordy = {"role": "system", "content": "You answer briefly, and in as few words as you can."}
        assert prompt_tokens([wordy, *turns[1:]]) > prompt_tokens(turns), "the system message is left out"
        assert chat.create(model=model, messages=turns, max_tokens=24, temperature=0).choices[0].message.content.strip()
    with record.operation("chat, logprobs", CHAT):
        answer = chat.create(model=model, messages=GRAVITY, max_tokens=6, temperature=0, logprobs=True, top_logprobs=3)
        tokens = answer.choices[0].logprobs.content
        assert "".join(one.token for one in tokens) == answer.choices[0].message.content and len(tokens) == 6, answer
        for one in tokens:
            best = [other.logprob for other in one.top_logprobs]
            assert len(best) == 3 and best == sorted(best, reverse=True) and one.logprob == best[0] <= 0, one
            assert bytes(one.bytes).decode() == one.token, one
    with record.operation("chat and completions, several choices", CHAT, COMPLETIONS):
        many = chat.create(model=model, messages=story, max_tokens=12, temperature=1.5, n=4, seed=3)
        assert [choice.index for choice in many.choices] == [0, 1, 2, 3], many
        assert len({choice.message.content for choice in many.choices}) > 1, "four choices are one"
        streamed = chat.create(model=model, messages=story, max_tokens=12, temperature=1.5, n=2, seed=3, stream=True)
        said = ["", ""]
        for chunk in streamed:
            for choice in chunk.choices:
                said[choice.index] += choice.delta.content or ""
        assert said == [choice.message.content for choice in many.choices[:2]], (said, many)
        assert len(text.create(model=model, prompt="Once", max_tokens=4, n=3).choices) == 3
    with record.operation("chat, faults", CHAT):
        with fails_with(404):
            chat.create(model="no/such-model", messages=GRAVITY)
        for bad in ({"messages": []}, {"messages": GRAVITY, "temperature": 9}, {"messages": GRAVITY, "max_tokens": 0}):
            with fails_with(422):
                chat.create(model=model, **bad)
        with fails_with(400):
            chat.create(model=model, messages=[{"role": "user", "content": "word " * 40_000}])


def structured(model: str):
    with record.operation("chat, tool_choice required", CHAT):
        asked = [{"role": "user", "content": "How warm is it in Berlin, in celsius?"}]
        answer = chat.create(model=model, messages=asked, tools=[WEATHER], tool_choice="required", max_tokens=128, temperature=0)
        choice = answer.choices[0]
        call = choice.message.tool_calls[0]
        arguments = json.loads(call.function.arguments)
        assert (choice.finish_reason, call.function.name, call.type) == ("tool_calls", "get_weather", "function"), choice
        assert isinstance(arguments["city"], str) and arguments["unit"] in ("celsius", "fahrenheit"), arguments
    with record.operation("chat, answer of a tool", CHAT):
        turns = [
            *asked,
            {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
            {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 21}'},
        ]
        answer = chat.create(model=model, messages=turns, tools=[WEATHER], tool_choice="none", max_tokens=48, temperature=0)
        assert answer.choices[0].message.content and not answer.choices[0].message.tool_calls, answer
    with record.operation("chat, named tool, streamed", CHAT):
        named = {"type": "function", "function": {"name": "get_weather"}}
        stream = chat.create(model=model, messages=asked, tools=[WEATHER], tool_choice=named, max_tokens=128, stream=True)
        deltas = [c.choices[0].delta for c in stream if c.choices]
        calls = [call for delta in deltas for call in delta.tool_calls or []]
        assert [c.function.name for c in calls if c.function.name] == ["get_weather"], calls
        assert json.loads("".join(c.function.arguments or "" for c in calls))["unit"] in ("celsius", "fahrenheit")
    with record.operation("chat, response_format json_schema", CHAT):
        form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
        asked = [{"role": "user", "content": "Ada is 36 years old. Give her as JSON."}]
        answer = chat.create(model=model, messages=asked, response_format=form, max_tokens=96, temperature=0)
        person = json.loads(answer.choices[0].message.content)
        assert set(person) == {"name", "age"} and isinstance(person["age"], int), person
    with record.operation("chat, response_format json_object", CHAT):
        answer = chat.create(
            model=model, messages=asked, response_format={"type": "json_object"}, max_tokens=200, temperature=0
        )
        assert answer.choices[0].finish_reason == "length" or json.loads(answer.choices[0].message.content) is not None


def completions(model: str):
    prompt = "The capital of France is"
    with record.operation("completions, SDK", COMPLETIONS):
        answer = nemo.completions.create(model=model, prompt=prompt, max_tokens=8, temperature=0)
        assert "Paris" in answer.choices[0].text and answer.object == "text_completion", answer
    with record.operation("completions, openai, streamed", COMPLETIONS):
        chunks = list(text.create(model=model, prompt=prompt, max_tokens=8, temperature=0, stream=True))
        assert "Paris" in "".join(c.choices[0].text for c in chunks if c.choices), chunks
    with record.operation("completions, echo", COMPLETIONS):
        answer = text.create(model=model, prompt=prompt, max_tokens=4, temperature=0, echo=True)
        assert answer.choices[0].text.startswith(prompt) and len(answer.choices[0].text) > len(prompt), answer
    with record.operation("completions, logprobs", COMPLETIONS):
        choice = text.create(model=model, prompt=prompt, max_tokens=4, temperature=0, logprobs=2).choices[0]
        assert "".join(choice.logprobs.tokens) == choice.text, choice
        assert all(p <= 0 for p in choice.logprobs.token_logprobs), choice
        assert all(len(top) >= 2 for top in choice.logprobs.top_logprobs), choice
    with record.operation("completions, logprobs of the prompt", COMPLETIONS):
        answer = text.create(model=model, prompt=[f"{prompt} Paris", f"{prompt} cheese"], max_tokens=1, echo=True, logprobs=1)
        given = [choice.logprobs for choice in answer.choices]
        for choice, logs in zip(answer.choices, given):
            assert "".join(logs.tokens).startswith(prompt) and logs.text_offset[0] == 0, choice
            assert logs.token_logprobs[0] is None and logs.top_logprobs[0] is None, choice
            assert all(p <= 1e-6 for p in logs.token_logprobs[1:]), choice
            assert len(logs.tokens) == len(logs.token_logprobs) == len(logs.top_logprobs) == len(logs.text_offset), choice
        assert given[0].tokens[5] == " Paris" and given[0].token_logprobs[5] > given[1].token_logprobs[5] + 3, given
    with record.operation("completions, logprobs of token ids and nothing generated", COMPLETIONS):
        answer = text.create(model=model, prompt=[[504, 3575, 282, 4649]], max_tokens=0, echo=True, logprobs=2)
        choice = answer.choices[0]
        assert (choice.text, answer.usage.completion_tokens) == ("The capital of France", 0), answer
        assert len(choice.logprobs.tokens) == 4, choice
    with record.operation("completions, several prompts", COMPLETIONS):
        answer = text.create(model=model, prompt=[prompt, "Two and two make"], max_tokens=4, temperature=0)
        assert [choice.index for choice in answer.choices] == [0, 1], answer


def embeddings():
    embedder = "sentence-transformers/all-MiniLM-L6-v2"
    path = "POST /v1/embeddings"
    embed = openai.OpenAI(base_url=f"{NIM}/v1", api_key="none", timeout=300, max_retries=5).embeddings
    texts = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates rose again."]

    def near(a, b):
        return sum(x * y for x, y in zip(a, b))

    with record.operation("embeddings, SDK", path):
        answer = nemo.with_options(timeout=300, max_retries=5).embeddings.create(model=embedder, input=texts, input_type="passage")
        first, like, other = (one.embedding for one in answer.data)
        assert len(first) == 384 and abs(near(first, first) - 1) < 1e-4, len(first)
        assert near(first, like) > 0.5 > near(first, other) + 0.2, (near(first, like), near(first, other))
        assert [one.index for one in answer.data] == [0, 1, 2] and answer.usage.prompt_tokens > 15, answer.usage
    with record.operation("embeddings, openai, base64 and floats", path):
        coded = embed.create(model=embedder, input=texts[0]).data[0].embedding
        plain = embed.create(model=embedder, input=texts[0], encoding_format="float").data[0].embedding
        assert max(abs(a - b) for a, b in zip(coded, plain)) < 1e-6 and len(coded) == 384
        assert max(abs(a - b) for a, b in zip(coded, first)) < 1e-6
    with record.operation("embeddings, dimensions", path):
        short = embed.create(model=embedder, input=texts[0], dimensions=64).data[0].embedding
        assert len(short) == 64 and abs(near(short, short) - 1) < 1e-4, len(short)
    with record.operation("embeddings, token ids", path):
        ids = embed.create(model=embedder, input=[[101, 2023, 2003, 1037, 3231, 102], [2023]]).data
        assert len(ids) == 2 and len(ids[0].embedding) == 384
    with record.operation("embeddings, truncate", path):
        long = "word " * 2000
        with fails_with(400):
            embed.create(model=embedder, input=long)
        for end in ("START", "END"):
            assert len(embed.create(model=embedder, input=long, extra_body={"truncate": end}).data[0].embedding) == 384
    with record.operation("embeddings, faults", path):
        for bad in ({"input": []}, {"input": "x", "encoding_format": "hex"}, {"input": "x", "extra_body": {"truncate": "MIDDLE"}}):
            with fails_with(422):
                embed.create(**{"model": embedder, **bad})
        with fails_with(400):
            chat.create(model=embedder, messages=GRAVITY)


class Upstream(http.server.BaseHTTPRequestHandler):
    """Another server's classifier and reranker."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        told = {"model": body["model"], "key": self.headers.get("authorization")}
        if self.path.endswith("/classify"):
            told["data"] = [{"index": 0, "label": "greeting"}]
        else:
            told["rankings"] = [{"index": i, "logit": -i} for i in range(len(body["passages"]))]
        answer = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def upstreams():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    endpoint = {"url": url, "model_id": "inner", "api_key": "hidden-key"}
    nemo.models.create(namespace="default", name="other-server", api_endpoint=endpoint)
    with record.operation("classify, an upstream", "POST /v1/classify"):
        answer = nemo.classify.create(model="default/other-server", input="hello")
        told = answer if isinstance(answer, dict) else json.loads(json.dumps(answer, default=lambda o: o.model_dump()))
        assert (told["model"], told["data"][0]["label"]) == ("inner", "greeting"), told
    with record.operation("classify with a model that cannot", "POST /v1/classify"):
        with fails_with(501):
            nemo.classify.create(model=name, input="hello")
    with record.operation("ranking, an upstream and its key", "POST /v1/ranking"):
        asked = {"model": "default/other-server", "query": {"text": "a"}, "passages": [{"text": "b"}, {"text": "c"}]}
        told = httpx.post(f"{NIM}/v1/ranking", json=asked, timeout=30).json()
        assert [one["index"] for one in told["rankings"]] == [0, 1] and told["key"] == "Bearer hidden-key", told
        refused = httpx.post(f"{NIM}/v1/ranking", json={**asked, "model": name}, timeout=30)
        assert refused.status_code == 404 and "api_endpoint" in refused.text, refused.text
    with record.operation("keys of upstreams stay hidden", "GET /v1/models"):
        assert "hidden-key" not in get("/v1/models").text + get("/v1/metadata").text + get("/v1/metrics").text
    nemo.models.delete("other-server", namespace="default")
    server.shutdown()


def hang_up(model: str):
    with record.operation("chat, a client that hangs up", CHAT):
        body = {"model": model, "messages": [{"role": "user", "content": "Tell a long story."}], "max_tokens": 400, "stream": True}
        with httpx.stream("POST", f"{NIM}/v1/chat/completions", json=body, timeout=30) as answer:
            next(answer.iter_lines())
        begun = time.monotonic()
        chat.create(model=model, messages=GRAVITY, max_tokens=2)
        assert time.monotonic() - begun < 5, "the work of a client that went away goes on"


health()
name = about()
chats(name)
structured(name)
completions(name)
hang_up(name)
embeddings()
upstreams()
record.done()
