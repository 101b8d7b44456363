"""Neutron's API as the agents ask it: the ports' places, over HTTP."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


class NeutronApi:
    """Answers on 127.0.0.1 in a thread; each port has an active host, and perhaps inactive ones."""

    def __init__(self) -> None:
        self.ports: dict[str, tuple[str, ...]] = {}
        # What was asked, in order.
        self.queries: list[dict[str, list[str]]] = []
        # While not set, no answer is given.
        self.answering = threading.Event()
        self.answering.set()
        # Not 200: it fails.
        self.status = 200
        self.body: str | None = None
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.answering.wait(30)
                status, body = api.answer(self.path)
                # Who asked may have gone meanwhile.
                with suppress(ConnectionError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, target: str) -> tuple[int, bytes]:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if path != "/v2.0/ports" or query.keys() - {"id", "binding:host_id", "fields"}:
            return 404, b"not known to this fake"
        if self.status != 200 or self.body is not None:
            return self.status, (self.body or "").encode()
        self.queries.append(query)
        found = [
            {"id": port_id, "binding:host_id": hosts[0]}
            for port_id, hosts in self.ports.items()
            # Neutron finds by inactive bindings, too, and names the active one.
            if set(hosts) & set(query.get("binding:host_id", hosts))
            and port_id in query.get("id", [port_id])
        ]
        fields = query.get("fields", ["id", "binding:host_id"])
        return 200, json.dumps(
            {"ports": [{field: port[field] for field in fields} for port in found]}
        ).encode()
