"""A server for the faults of HTTP only: it stands for no model, and answers as an OpenAI-compatible server would."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Faults:
    """What the server has seen (`requests`, `times`), and what it does: `script` maps the number of a request to a fault."""

    def __init__(self, script=None, refuse=()):
        self.script, self.refuse = script or {}, refuse
        self.requests: list[dict] = []
        self.times: list[float] = []
        self.lock = threading.Lock()


@contextmanager
def serving(faults: Faults):
    """Serve on the loopback; yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with faults.lock:
                number = len(faults.requests)
                faults.requests.append(body)
                faults.times.append(time.monotonic())
            status = faults.script.get(number, 200)
            for field in faults.refuse:
                if field in body:
                    status = (
                        400,
                        f"{field} is not supported; use max_completion_tokens"
                        if field == "max_tokens"
                        else f"no {field}",
                    )
            if isinstance(status, tuple):
                return self.send(status[0], {"error": {"message": status[1], "type": "invalid_request_error"}})
            if status != 200:
                return self.send(status, {"error": {"message": "later"}}, {"Retry-After-Ms": "1"})
            choice = {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": f"<answer>{body['seed']}</answer>"},
            }
            if body.get("logprobs"):
                choice["logprobs"] = {
                    "content": [{"token": t, "logprob": -0.5, "bytes": None, "top_logprobs": []} for t in "ab"]
                }
            usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
            self.send(
                200,
                {
                    "id": "x",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [choice],
                    "usage": usage,
                },
            )

        def send(self, status, body, headers=None):
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
                **(headers or {}),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
