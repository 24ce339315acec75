# SPDX-License-Identifier: Apache-2.0
"""Runs the cases of a file through nemoguardrails, with a scripted model, and prints what each one is answered."""

import http.server
import json
import logging
import os
import sys
import threading

os.environ["OPENAI_API_KEY"] = "none"
logging.disable(logging.CRITICAL)
case = {}


class Model(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = body["messages"][0]["content"]
        said = case["judge"] if asked.startswith("JUDGE") else case["main"]
        status = said if isinstance(said, int) else 200
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        fine = {"id": "a", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice], "usage": usage}
        answer = json.dumps(fine if status == 200 else {"error": {"message": "down"}}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def answer(url: str, models: list) -> str:
    from nemoguardrails import LLMRails, RailsConfig

    lines = [f'  - {{type: {kind}, engine: openai, model: m, parameters: {{base_url: "{url}", max_retries: 0}}}}' for kind in models]
    yaml = "models:\n" + "\n".join(lines) + "\n" + case["yaml"]
    rails = LLMRails(RailsConfig.from_content(yaml_content=yaml, colang_content=case.get("colang", "")))
    messages = [{"role": "user", "content": case["user"]}]
    if case.get("context"):
        messages.insert(0, {"role": "context", "content": case["context"]})
    if case.get("assistant"):
        messages.append({"role": "assistant", "content": case["assistant"]})
    options = {"rails": case["rails"]} if case.get("rails") else {}
    result = rails.generate(messages=messages, options=options or None)
    message = result["content"] if isinstance(result, dict) else result.response[-1]["content"]
    return message if isinstance(message, str) else json.dumps(message)


def main():
    global case
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    given = json.load(open(sys.argv[1]))
    for case in given["cases"]:
        try:
            told = {"text": answer(f"http://127.0.0.1:{server.server_port}/v1", given["models"])}
        except Exception as error:
            told = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        print("CASE " + json.dumps({"id": case["id"], **told}), flush=True)


main()
