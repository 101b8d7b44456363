"""The page's server: on 127.0.0.1, for who has the token, for no other page."""

from __future__ import annotations

import errno
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fakevm.errors import ConflictError, FakevmError, UnavailableError
from fakevm.reports import page
from fakevm.ui.feed import LOOK_S, Feed
from fakevm.ui.moves import Moves, OpenLab

ADDRESS = "127.0.0.1"

PAGE = Path(__file__).with_name("page.html")

# The longest that a page waits for news in one request.
WAIT_S = 20.0

# How soon it ends after its last page.
_END_S = 0.05

# What a request may bring.
BODY = 4096

# Nothing but its own script runs in the page, and it talks with nobody else.
_POLICY = (
    "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; img-src data:;"
    " script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class RefusedError(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status


class Server(ThreadingHTTPServer):
    """Serves one lab's page; see `serving`."""

    daemon_threads = True

    def __init__(self, lab_name: str, feed: Feed, moves: Moves, *, port: int = 0) -> None:
        """Port 0: any that is free."""
        self.lab_name = lab_name
        self.feed = feed
        self.moves = moves
        self.token = secrets.token_urlsafe(24)
        # A page's connection outlives the listening.
        self.over = False
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            told = " is in use" if error.errno == errno.EADDRINUSE else f": {error.strerror}"
            raise ConflictError(
                f"port {port} on {ADDRESS}{told}", hint="fakevm ui --port ANOTHER"
            ) from error

    def shutdown(self) -> None:
        """Answer nobody any more."""
        self.over = True
        super().shutdown()

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://{ADDRESS}:{self.server_port}/?token={self.token}"

    @cached_property
    def names(self) -> frozenset[str]:
        """What a request may call this server: a page elsewhere that has another name for its
        address (DNS rebinding) is refused."""
        return frozenset(f"{host}:{self.server_port}" for host in (ADDRESS, "localhost"))


@contextmanager
def serving(
    lab_name: str, open_lab: OpenLab, *, port: int = 0, look_s: float = LOOK_S
) -> Iterator[Server]:
    """Serve a lab's page as long as the block lasts, and until its migrations have ended.

    `open_lab` gets what is called with a line of progress.
    """
    with Feed(lambda: open_lab(lambda _line: None), look_s=look_s) as feed:
        moves = Moves(open_lab, tell=feed.tell)
        with Server(lab_name, feed, moves, port=port) as server:
            thread = threading.Thread(
                target=server.serve_forever, args=(_END_S,), name="ui-server", daemon=True
            )
            thread.start()
            try:
                yield server
            finally:
                moves.finish()
                server.shutdown()


class Handler(BaseHTTPRequestHandler):
    """One request of a page."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "fakevm"
    sys_version = ""
    # Who says nothing holds no thread for ever.
    timeout = 2 * WAIT_S

    def do_GET(self) -> None:
        """Answer the page itself, or what it shows."""
        self._answer({"/": self._page, "/state": self._state})

    def do_POST(self) -> None:
        """Do what the page asks for."""
        self._answer({"/migrate": self._migrate})

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, ways: Mapping[str, Callable[[Mapping[str, str]], None]]) -> None:
        try:
            parts = urlsplit(self.path)
            query = {name: found[0] for name, found in parse_qs(parts.query).items()}
            self._check(query if parts.path == "/" else {})
            if self.server.over:
                raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "fakevm ui has ended")
            if parts.path not in ways:
                raise RefusedError(HTTPStatus.NOT_FOUND, "there is nothing here")
            ways[parts.path](query)
        except RefusedError as refused:
            self.close_connection = True
            self._send(refused.status, f"{refused}\n".encode(), "text/plain; charset=utf-8")
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            # The page was closed.
            self.close_connection = True

    def _check(self, query: Mapping[str, str]) -> None:
        """Refuse who has not the token, and what another page sends."""
        if self.headers.get("Host") not in self.server.names:
            raise RefusedError(HTTPStatus.FORBIDDEN, "this server has another name")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{name}" for name in self.server.names}:
            raise RefusedError(HTTPStatus.FORBIDDEN, "another page may not ask")
        _, _, given = self.headers.get("Authorization", "").partition("Bearer ")
        token = query.get("token") or given
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise RefusedError(
                HTTPStatus.FORBIDDEN, "the token is missing: take the URL that `fakevm ui` printed"
            )

    def _page(self, _query: Mapping[str, str]) -> None:
        nonce = secrets.token_urlsafe(16)
        text = page.filled(PAGE, {"nonce": nonce, "lab": escape(self.server.lab_name)})
        policy = {"Content-Security-Policy": _POLICY.format(nonce=nonce)}
        self._send(HTTPStatus.OK, text.encode(), "text/html; charset=utf-8", policy)

    def _state(self, query: Mapping[str, str]) -> None:
        after = query.get("after", "0")
        if not re.fullmatch(r"[0-9]{1,12}", after):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "after: a version is expected")
        state = self.server.feed.after(int(after), timeout_s=WAIT_S)
        self._json(HTTPStatus.OK, {**asdict(state), "moves": self.server.moves.told()})

    def _migrate(self, _query: Mapping[str, str]) -> None:
        wanted = self._body("vm", "host")
        try:
            if (graph := self.server.feed.graph) is None:
                raise UnavailableError("the lab was not seen yet")
            self.server.moves.start(graph, wanted["vm"], wanted["host"])
        except FakevmError as error:
            self._json(HTTPStatus.CONFLICT, {"error": str(error)})
            return
        self._json(HTTPStatus.ACCEPTED, {})

    def _body(self, *names: str) -> dict[str, str]:
        """Return what was sent as JSON: these, each a text."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"at most {BODY} bytes are expected")
        try:
            found = json.loads(self.rfile.read(int(length)))
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(found.get(n), str) for n in names):
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"{', '.join(names)} are expected as JSON")
        return {name: found[name] for name in names}

    def _json(self, status: HTTPStatus, what: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(what).encode(), "application/json")

    def _send(
        self, status: HTTPStatus, body: bytes, kind: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        told = {"Content-Type": kind, "Content-Length": str(len(body)), **_HEADERS}
        for name, value in {**told, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
