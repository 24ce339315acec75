# SPDX-License-Identifier: Apache-2.0
"""A model with an OpenAI API whose answers a driver scripts: as a judge, or as a model whose scores are known."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ScriptedModel:
    """`answer` takes the request's body and gives a text, a message, or a pair of status and text."""

    def __init__(self, answer, key: str):
        self.answer = answer
        self.key = key
        self.asked: list[dict] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.headers.get("authorization") != f"Bearer {outer.key}":
                    return self.reply(401, {"error": {"message": "wrong key"}})
                outer.asked.append(body)
                said = outer.answer(body)
                if isinstance(said, tuple):
                    return self.reply(said[0], {"error": {"message": said[1]}})
                message = {"role": "assistant", "content": said} if isinstance(said, str) else said
                choice = {"index": 0, "message": message, "text": message.get("content"), "finish_reason": "stop"}
                self.reply(200, {"id": "x", "object": "chat.completion", "model": body["model"], "choices": [choice]})

            def reply(self, status: int, body: dict):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def endpoint(self, path: str = "") -> dict:
        return {"api_endpoint": {"url": self.url + path, "model_id": "scripted", "api_key": self.key}}
