"""nova-events itself, in a thread of the test's process, and Neutron's part of talking to it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakevm_agent.nova_events.event_log import KEPT, EventLog
from fakevm_agent.nova_events.nova import NovaEvents
from fakevm_agent.nova_events.nova_api import PATH
from fakevm_agent.nova_events.service import Server
from tests.fakes.host import FakeStream

# As novaclient sends them for Neutron.
HEADERS = {"Content-Type": "application/json", "X-OpenStack-Nova-API-Version": "2.1"}


class LocalNovaEvents:
    """The service on a loopback port and a Unix socket; it starts when it is first needed."""

    def __init__(self, *, kept: int = KEPT) -> None:
        self._kept = kept
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "agent.sock"
        self._thread: threading.Thread | None = None
        self._up = threading.Event()
        self._first = threading.Lock()
        self._port = 0
        self.streams = 0

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
            self._thread.start()
            assert self._up.wait(10)

    def stop(self) -> None:
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(10)
            assert not self._thread.is_alive()
            self._thread = None
            self._up.clear()

    def close(self) -> None:
        self.stop()
        self._folder.cleanup()

    def stream(self) -> FakeStream:
        """Return a new stream, as a Docker exec of socat would be; ended if the service is away."""
        # Who comes second waits, too, until it is there.
        with self._first:
            self.streams += 1
            if self.streams == 1:
                self.start()
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(str(self._path))
        except OSError:
            ours, theirs = socket.socketpair()
            theirs.close()
            return FakeStream(ours, "no such socket")
        return FakeStream(sock)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = HEADERS,
    ) -> tuple[int, Mapping[str, str], Any]:
        """Send a request over HTTP; return status, headers and what the JSON of the answer says."""
        self.start()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return response.status, dict(response.headers), json.loads(response.read())
        finally:
            connection.close()

    def post(self, body: Any, headers: Mapping[str, str] = HEADERS) -> tuple[int, Any]:
        status, _, answer = self.request("POST", PATH, json.dumps(body).encode(), headers)
        return status, answer

    def emit(
        self, name: str, instance_id: str, port_id: str, *, status: str | None = "completed"
    ) -> int:
        """Send one event as Neutron does; return what it was answered with."""
        event = {"server_uuid": instance_id, "name": name, "tag": port_id}
        if status is not None:
            event["status"] = status
        _, answer = self.post({"events": [event]})
        return int(answer["events"][0]["code"])

    @property
    def path(self) -> Path:
        """Where it listens in a lab, too: a Unix socket."""
        self.start()
        return self._path

    @property
    def port(self) -> int:
        self.start()
        return self._port

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        nova = NovaEvents(log=EventLog(kept=self._kept))
        async with Server(nova).listening(self._path, address="127.0.0.1", port=0) as self._port:
            self._up.set()
            await self._end.wait()
