"""A proxy before Neutron's API that keeps what is sent to it."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request, and the status that Neutron answered with."""

    method: str
    path: str
    body: Any
    status: int


class Recorder:
    """Listens on a loopback port. Use it in a `with` block."""

    def __init__(self, endpoint: str) -> None:
        self._target = endpoint.removeprefix("http://")
        self._kept: list[Request] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle_any(self) -> None:
                recorder.hand_on(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def endpoint(self) -> str:
        """Where it listens, in the place of Neutron."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def taken(self) -> list[Request]:
        """Return what was sent since the last time."""
        kept, self._kept = self._kept, []
        return kept

    def hand_on(self, handler: BaseHTTPRequestHandler) -> None:
        """Send a request to Neutron, and its answer back."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(self._target, timeout=60)
        try:
            connection.request(handler.command, handler.path, body or None, dict(handler.headers))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        self._kept.append(
            Request(
                method=handler.command,
                path=handler.path,
                body=json.loads(body) if body else None,
                status=answer.status,
            )
        )
        handler.send_response(answer.status)
        for name in ("Content-Type", "Location"):
            if value := answer.headers.get(name):
                # The API's version document tells where the API is: here.
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)
