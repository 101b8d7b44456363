"""Keystone and a Neutron that asks for its tokens, in one HTTP server."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from fakevm.neutron.login import Login

PASSWORD = "right"
# By id.
PROJECTS = {"1" * 32: "admin", "2" * 32: "demo", "3" * 32: "twice", "4" * 32: "twice"}


class Keystone:
    """Answers on 127.0.0.1 in a thread: gives tokens, and ports to who has the last one."""

    def __init__(self) -> None:
        self.lifetime_s = 3600.0
        # Users that were given a token, in order.
        self.given: list[str] = []
        # While it is not 200, Keystone is broken.
        self.status = 200
        keystone = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(*keystone.token(body["auth"]["identity"]["password"]["user"]))

            def do_GET(self) -> None:
                self._answer(*keystone.answer(self.path, self.headers.get("X-Auth-Token", "")))

            def _answer(self, status: int, body: Any, headers: dict[str, str]) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Neutron's; Keystone's is below it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def login(self, *, password: str = PASSWORD) -> Login:
        return Login(
            auth_url=f"{self.url}/v3", username="admin", project="admin", password=password
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def token(self, user: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        if self.status != 200:
            return self.status, {}, {}
        if user["password"] != PASSWORD:
            return 401, {"error": {"message": "not authorized", "code": 401}}, {}
        self.given.append(user["name"])
        expires = datetime.now(UTC) + timedelta(seconds=self.lifetime_s)
        token = {
            "methods": ["password"],
            "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"name": user["name"], "id": "u", "domain": {"id": "default"}},
            "project": {"name": "admin", "id": "1" * 32, "domain": {"id": "default"}},
        }
        return 201, {"token": token}, {"X-Subject-Token": f"token-{len(self.given)}"}

    def answer(self, path: str, token: str) -> tuple[int, Any, dict[str, str]]:
        if path == "/v3":
            link = {"rel": "self", "href": f"{self.url}/v3"}
            version = {"id": "v3.14", "status": "stable", "links": [link]}
            return 200, {"version": version}, {}
        if token != f"token-{len(self.given)}":
            return 401, {"error": {"message": "no such token"}}, {}
        if path.startswith("/v3/projects"):
            projects = [{"id": one, "name": name} for one, name in PROJECTS.items()]
            return 200, {"projects": projects}, {}
        return 200, {"ports": []}, {}
