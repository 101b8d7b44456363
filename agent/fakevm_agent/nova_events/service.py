"""nova-events, a service of the lab: the end of Neutron's notifications that Nova has elsewhere.

Neutron posts its events over HTTP. fakevm reads them over a Unix socket with the agents' protocol,
says there which servers there are, and records its own steps between them.
"""

import asyncio
import contextlib
import logging
import re
import signal
import socket
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fakevm.errors import ConfigError, FakevmError
from fakevm.names import AGENT_SOCKET
from fakevm_agent.nova_events import http_server
from fakevm_agent.nova_events.event_log import EventLog
from fakevm_agent.nova_events.nova_api import Answer, Request, answer
from fakevm_agent.protocol import rpc
from fakevm_agent.protocol.rpc import Call, ProtocolError

LOG = logging.getLogger("nova_events")

PORT = 18774

# Servers that are known at once; the one that was named longest ago is forgotten first.
_SERVERS_MAX = 10_000
# Of any text that is kept, as of an event's tag.
_TEXT_MAX = 255
_CONNECTIONS_MAX = 500
_LINE_MAX = 1024 * 1024
_REQUESTS_MAX = 256
_WAIT_MAX = 600.0
# How long answers may still take when a client has written its last request.
_LAST_WORDS = 1

_STEP = ("kind", "instance_id", "port_id", "name", "status", "source", "code", "operation")


class NovaEvents:
    """What Nova's database and its waiters know."""

    def __init__(self, *, log: EventLog | None = None) -> None:
        self.log = log or EventLog()
        # By server; None: on no host.
        self.hosts: OrderedDict[str, str | None] = OrderedDict()

    def receive(self, request: Request, *, source: str) -> Answer:
        """Answer a request of Neutron's, and keep its events."""
        told = answer(request, self.hosts)
        for event in told.events:
            self.log.add(
                kind="event",
                instance_id=event["server_uuid"],
                port_id=event.get("tag", ""),
                name=event["name"],
                status=event.get("status", "completed"),
                source=source,
                code=event["code"],
            )
        return told

    async def call(self, call: Call) -> object:
        """Carry out a request of fakevm's."""
        match call.method:
            case "register":
                return self._register(call.params)
            case "record":
                return self._record(call.params)
            case "read":
                return await self._read(call.params)
        known = "register, record, read"
        reason = f"no method {call.method!r:.80}; there are: {known}"
        raise ProtocolError(rpc.METHOD_NOT_FOUND, reason, call.request_id)

    def _register(self, params: Mapping[str, Any]) -> object:
        _expect(params, ("instance_id", "host"))
        instance_id = _text(params, "instance_id")
        self.hosts[instance_id] = None if params.get("host") is None else _text(params, "host")
        self.hosts.move_to_end(instance_id)
        while len(self.hosts) > _SERVERS_MAX:
            self.hosts.popitem(last=False)
        return {}

    def _record(self, params: Mapping[str, Any]) -> object:
        _expect(params, ("entries",))
        entries = params.get("entries")
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise ConfigError("entries: expected a list of objects")
        # All are looked at before one is kept.
        kept = [self._step(one) for one in entries]
        for values in kept:
            self.log.add(**values)
        return {"cursor": self.log.cursor}

    def _step(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        _expect(entry, _STEP)
        if entry.get("kind", "step") != "step":
            raise ConfigError("kind: only steps are recorded")
        if entry.get("code", 0) != 0:
            raise ConfigError("code: a step has none")
        texts = {name: _text(entry, name) for name in ("instance_id", "name", "status", "source")}
        more = {name: _text({name: "", **entry}, name) for name in ("port_id", "operation")}
        return {"kind": "step", **texts, **more}

    async def _read(self, params: Mapping[str, Any]) -> object:
        _expect(params, ("after", "timeout_s", "instance_ids"))
        after, timeout_s = params.get("after"), params.get("timeout_s", 0)
        if not isinstance(after, int) or isinstance(after, bool) or after < -1:
            raise ConfigError("after: expected a cursor, or -1")
        if not isinstance(timeout_s, int | float) or not 0 <= timeout_s <= _WAIT_MAX:
            raise ConfigError(f"timeout_s: expected 0 to {_WAIT_MAX:g}")
        ids = params.get("instance_ids")
        if ids is not None and not (
            isinstance(ids, list) and all(isinstance(one, str) for one in ids)
        ):
            raise ConfigError("instance_ids: expected a list of strings, or null")
        if after == -1:
            return {"entries": [], "cursor": self.log.cursor}
        chosen = None if ids is None else frozenset(ids)
        entries, cursor = await self.log.wait_after(after, chosen, timeout=timeout_s)
        return {"entries": [asdict(entry) for entry in entries], "cursor": cursor}


class Server:
    """What listens."""

    def __init__(self, nova: NovaEvents) -> None:
        self._nova = nova
        self._connections: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self, path: Path, *, address: str, port: int) -> AsyncIterator[int]:
        """Serve Neutron and fakevm during the block; gives the port, the system's choice for 0."""
        try:
            async with rpc.serving(path, self._local, line_max=_LINE_MAX):
                api = await asyncio.start_server(self._api, address, port, family=socket.AF_INET)
                try:
                    yield api.sockets[0].getsockname()[1]
                finally:
                    api.close()
        finally:
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _api(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._admit(writer):
            return
        peer = await _name_of(writer.get_extra_info("peername")[0])

        async def respond(request: Request) -> Answer:
            return self._nova.receive(request, source=peer)

        await http_server.serve(reader, writer, respond)

    async def _local(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._admit(writer):
            await Client(self._nova, reader, writer).serve()

    def _admit(self, writer: asyncio.StreamWriter) -> bool:
        if len(self._connections) >= _CONNECTIONS_MAX:
            writer.close()
            return False
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        return True


class Client:
    """One stream of fakevm's: requests side by side, until it writes no more."""

    def __init__(
        self, nova: NovaEvents, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._nova = nova
        self._reader = reader
        self._writer = writer
        self._writing = asyncio.Lock()
        self._room = asyncio.Semaphore(_REQUESTS_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Take requests until the client writes no more; then nobody waits for news any longer."""
        try:
            while line := await self._reader.readline():
                await self._room.acquire()
                task = asyncio.create_task(self._answer(line))
                self._tasks.add(task)
                task.add_done_callback(self._done)
        except ValueError:
            # Where the next message begins can't be told without reading all of this one.
            too_long = ProtocolError(rpc.INVALID_REQUEST, f"a line is above {_LINE_MAX} bytes")
            await self._write(rpc.failure(None, too_long))
        except ConnectionError:
            pass
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_LAST_WORDS)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._writer.close()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _answer(self, line: bytes) -> None:
        request_id: rpc.Id = None
        try:
            call = rpc.parse(line)
            request_id = call.request_id
            told = rpc.result(request_id, await self._nova.call(call))
            if call.notification:
                return
        except ProtocolError as error:
            told = rpc.failure(error.request_id, error)
        except FakevmError as error:
            told = rpc.failure(request_id, error)
        except Exception as error:
            LOG.exception("a request failed")
            told = rpc.failure(request_id, error)
        await self._write(told)

    async def _write(self, line: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            async with self._writing:
                self._writer.write(line)
                await self._writer.drain()


def _expect(params: Mapping[str, Any], names: tuple[str, ...]) -> None:
    unknown = sorted(set(params) - set(names))
    if unknown:
        raise ConfigError(f"{unknown[0]!r:.80}: not known; expected: {', '.join(names)}")


def _text(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        raise ConfigError(f"{name}: expected a string of at most {_TEXT_MAX} characters")
    return value


async def _name_of(address: str) -> str:
    """Return the name of the service at an address, or the address."""
    try:
        found, _ = await asyncio.get_running_loop().getnameinfo((address, 0), socket.NI_NAMEREQD)
    except OSError:
        return address
    return service_of(found) or address


def service_of(name: str) -> str:
    """Return the Compose service that the engine's DNS means; "" if it names none.

    It answers an address with "PROJECT-SERVICE-NUMBER.PROJECT_NETWORK".
    """
    container, _, network = name.partition(".")
    project = network.rpartition("_")[0]
    match = re.fullmatch(rf"{re.escape(project)}-(.+)-\d+", container)
    return match[1] if project and match else ""


async def run(path: Path, *, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Server(NovaEvents()).listening(path, address="0.0.0.0", port=port) as bound:
        LOG.info("listens on port %s and on %s", bound, path)
        await stop.wait()


def main() -> None:
    """Run the service."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(run(Path(AGENT_SOCKET), port=PORT))
