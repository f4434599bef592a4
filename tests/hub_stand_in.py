"""A stand-in for the model hub on the loopback: it answers what `huggingface_hub` asks for an upload, and keeps what is sent."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """What has been asked (method and path), who asked (tokens), how a repository was made, and the files of the commit."""

    def __init__(self):
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        self.created: dict = {}
        self.files: dict[str, bytes] = {}
        self.full = False  # a commit is refused


@contextmanager
def serving_hub():
    """Serve, and yield the address and the Hub."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def reply(self, status: int, body: dict) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def note(self) -> str:
            path = self.path.split("?")[0]
            hub.asked.append(f"{self.command} {path}")
            hub.tokens.add(self.headers.get("Authorization"))
            return path

        def do_GET(self):
            path = self.note()
            if path == "/api/whoami-v2":
                self.reply(200, {"name": "me", "type": "user"})
            else:
                self.reply(404, {"error": "Repository not found"})

        def do_POST(self):
            path, body = self.note(), self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if path == "/api/repos/create":
                hub.created = json.loads(body)
                self.reply(200, {"url": f"http://{self.headers['Host']}/me/tiny", "name": "me/tiny"})
            elif path == "/api/validate-yaml":
                self.reply(200, {"errors": [], "warnings": []})
            elif path == "/api/models/me/tiny/preupload/main":
                paths = [file["path"] for file in json.loads(body)["files"]]
                files = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
                self.reply(200, {"files": files})
            elif path == "/api/models/me/tiny/commit/main" and not hub.full:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                url = f"http://{self.headers['Host']}/me/tiny/commit/{'0' * 40}"
                self.reply(200, {"success": True, "commitOid": "0" * 40, "commitUrl": url})
            else:
                self.reply(403, {"error": "Private repository storage limit reached"})

        def log_message(self, *args):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
