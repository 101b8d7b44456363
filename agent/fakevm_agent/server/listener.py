"""The agent's Unix socket.

A client's stream ends when it writes no more: its commands in VMs are ended then, since a client
behind `docker exec` can say that it is gone in no other way. Its other requests are carried out.
"""

import asyncio
import contextlib
import logging
import select
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fakevm.errors import (
    ConfigError,
    ConflictError,
    FakevmError,
    UnavailableError,
    WaitTimeoutError,
)
from fakevm_agent.guest.run import Running, Spawner, Terminal
from fakevm_agent.host import overview
from fakevm_agent.host.parts import Host
from fakevm_agent.protocol import rpc, wire
from fakevm_agent.protocol.rpc import Call, ProtocolError
from fakevm_agent.server import params
from fakevm_agent.server.session import Session, Stream
from fakevm_agent.vms import pause, plug
from fakevm_agent.vms.cleanup import cleanup
from fakevm_agent.vms.configure import configure

LOG = logging.getLogger(__name__)

_LINE_MAX = 8 * 1024 * 1024
# Of one client, so that it can't take all memory with requests whose answers it never reads.
_REQUESTS_MAX = 1024
_HANG_UP_INTERVAL = 0.25

_T = TypeVar("_T")
_P = TypeVar("_P", bound=params.Params)


class Server:
    """What listens, and what every client shares."""

    def __init__(self, host: Host, spawner: Spawner, *, workers: int, patience: float) -> None:
        self.host = host
        self.spawner = spawner
        # Set when the VMs are as OVSDB has them.
        self.ready = asyncio.Event()
        self._patience = patience
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="worker")
        self._clients: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[None]:
        """Serve clients during the block."""
        try:
            async with rpc.serving(path, self._serve, line_max=_LINE_MAX):
                yield
        finally:
            for task in self._clients:
                task.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)
            self._pool.shutdown()

    async def wait_until_ready(self) -> None:
        """Wait until the start's work is done, or raise UnavailableError."""
        try:
            async with asyncio.timeout(self._patience):
                await self.ready.wait()
        except TimeoutError as error:
            raise UnavailableError(
                "the agent has not made its VMs again yet: it waits for Open vSwitch's database",
                hint="in the host: s6-svc -r /run/services/ovsdb-server",
            ) from error

    async def in_thread(self, function: Callable[..., _T], *arguments: Any, **named: Any) -> _T:
        """Run what blocks."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(function, *arguments, **named))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._clients.add(task)
        try:
            await Client(self, reader, writer).serve()
        except ConnectionError:
            pass  # It is gone.
        finally:
            self._clients.discard(task)
            writer.close()


class Client:
    """One client's stream."""

    def __init__(
        self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        # A command's input may come before the command runs, so what waits for it is there first.
        self._sessions: dict[rpc.Id, asyncio.Future[Session | None]] = {}
        self._requests: Mapping[str, Callable[[Call], Awaitable[object]]] = {
            "info": self._info,
            "plug": self._plug,
            "suspend": self._suspend,
            "resume": self._resume,
            "configure": self._configure,
            "unplug": self._unplug,
            "list": self._list,
            "exec": self._exec,
            "cleanup": self._cleanup,
        }
        self._notices: Mapping[str, Callable[[Session, Call], Awaitable[None]]] = {
            "exec.stdin": self._stdin,
            "exec.resize": self._resize,
            "exec.cancel": self._cancel,
        }

    async def serve(self) -> None:
        """Take requests until the client writes no more, then end what it began."""
        try:
            while line := await self._line():
                await self._take(line)
        finally:
            for started in self._sessions.values():
                self._begin(_kill(started))
            # What is being plugged is plugged to its end, and undone if it fails.
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _line(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                await self._answer_failure(None, ProtocolError(rpc.PARSE_ERROR, "cut off line"))
        except asyncio.LimitOverrunError:
            # Where the next message begins can't be told without reading all of this one.
            too_long = ProtocolError(rpc.INVALID_REQUEST, f"a line is above {_LINE_MAX} bytes")
            await self._answer_failure(None, too_long)
        return b""

    async def _take(self, line: bytes) -> None:
        try:
            call = rpc.parse(line)
            if call.notification:
                await self._notice(call)
                return
            if call.method not in self._requests:
                known = ", ".join(self._requests)
                reason = f"no method {call.method!r:.80}; there are: {known}"
                raise ProtocolError(rpc.METHOD_NOT_FOUND, reason, call.request_id)
            if len(self._tasks) >= _REQUESTS_MAX:
                await self._answer_failure(
                    call.request_id,
                    ConflictError(f"{_REQUESTS_MAX} requests of this client are not answered yet"),
                )
                return
            if call.method == "exec":
                if call.request_id in self._sessions:
                    reason = "id: a command with this id runs already"
                    raise ProtocolError(rpc.INVALID_REQUEST, reason, call.request_id)
                self._sessions[call.request_id] = asyncio.get_running_loop().create_future()
        except ProtocolError as error:
            await self._answer_failure(error.request_id, error)
            return
        self._begin(self._answer(call))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, call: Call) -> None:
        try:
            await self._server.wait_until_ready()
            value = await self._requests[call.method](call)
            await self._write(rpc.result(call.request_id, value))
        except Exception as error:
            if not isinstance(error, ProtocolError | FakevmError):
                LOG.exception("%s failed", call.method)
            await self._answer_failure(call.request_id, error)

    async def _answer_failure(self, request_id: rpc.Id, error: Exception) -> None:
        await self._write(rpc.failure(request_id, error))

    async def _write(self, line: bytes) -> None:
        # A client that is gone hears nothing; `serve` sees its end.
        with contextlib.suppress(ConnectionError):
            async with self._writing:
                self._writer.write(line)
                await self._writer.drain()

    async def _info(self, call: Call) -> object:
        _params(params.Nothing, call)
        return wire.dump(await self._server.in_thread(overview.info, self._server.host))

    async def _plug(self, call: Call) -> object:
        given = _params(params.PlugParams, call)
        plugged, changed = await self._server.in_thread(
            plug.plug,
            self._server.host,
            given.vif,
            given.vm,
            paused=given.paused,
            late_tap=given.late_tap,
            nic=given.nic,
        )
        return {**wire.dump(plugged), "changed": changed}

    async def _suspend(self, call: Call) -> object:
        given = _params(params.SuspendParams, call)
        host = self._server.host
        return wire.dump(await self._server.in_thread(pause.suspend, host, given.instance_id))

    async def _resume(self, call: Call) -> object:
        given = _params(params.ResumeParams, call)
        arguments = self._server.host, given.instance_id, given.state
        now = await self._server.in_thread(pause.resume, *arguments, rarp=given.rarp)
        return {"time": now}

    async def _configure(self, call: Call) -> object:
        given = _params(params.ConfigureParams, call)
        addresses = await self._server.in_thread(
            configure, self._server.host, given.port_id, timeout=given.timeout_s
        )
        return {"addresses": addresses}

    async def _unplug(self, call: Call) -> object:
        given = _params(params.PortParams, call)
        changed = await self._server.in_thread(plug.unplug, self._server.host, given.port_id)
        return {"port_id": given.port_id, "changed": changed}

    async def _list(self, call: Call) -> object:
        given = _params(params.ListParams, call)
        vifs = await self._server.in_thread(overview.vifs, self._server.host, given.port_id)
        return {"vifs": [wire.dump(vif) for vif in vifs]}

    async def _cleanup(self, call: Call) -> object:
        given = _params(params.CleanupParams, call)
        only = None if given.only is None else frozenset(given.only)
        removed = await self._server.in_thread(
            cleanup, self._server.host, frozenset(given.keep), only=only, dry_run=given.dry_run
        )
        return {"removed": [wire.dump(item) for item in removed]}

    async def _exec(self, call: Call) -> object:
        started = self._sessions[call.request_id]
        try:
            given = _params(params.ExecParams, call)
            running = await self._server.in_thread(self._start, given)
            session = Session(running, partial(self._output, call.request_id))
            started.set_result(session)
            work = asyncio.create_task(session.run())
            done, _ = await asyncio.wait({work}, timeout=given.timeout_s)
            if not done:
                await session.kill()
            code = await work
            if not done:
                raise WaitTimeoutError(
                    f"{given.argv[0]!r:.80} had not ended after {given.timeout_s:g} s "
                    "and was killed, with all its children"
                )
            return {"exit_code": code}
        finally:
            if not started.done():
                started.set_result(None)
            del self._sessions[call.request_id]

    def _start(self, given: params.ExecParams) -> Running:
        guest = overview.guest_of(
            self._server.host, port_id=given.port_id, instance_id=given.instance_id
        )
        return self._server.spawner.run(guest, given.argv, terminal=given.tty, stdin=given.stdin)

    async def _output(self, request_id: rpc.Id, stream: Stream, data: str) -> None:
        params = {"id": request_id, "stream": stream, "data": data}
        await self._write(rpc.notification("exec.output", params))

    async def _notice(self, call: Call) -> None:
        """Take a notification. It has no answer; for a command that has ended it is late."""
        number = call.params.get("id")
        if call.method not in self._notices or not isinstance(number, rpc.Id):
            return
        started = self._sessions.get(number)
        session = await started if started else None
        if session is None:
            return
        try:
            await self._notices[call.method](session, call)
        except ProtocolError as error:
            LOG.warning("%s: %s", call.method, error)

    async def _stdin(self, session: Session, call: Call) -> None:
        data = _params(params.StdinParams, call).data
        feeding = asyncio.create_task(session.feed(data))
        # While the command does not read, neither do we, and so would not see the client go.
        while not (await asyncio.wait({feeding}, timeout=_HANG_UP_INTERVAL))[0]:
            if self._hung_up():
                await session.kill()

    async def _resize(self, session: Session, call: Call) -> None:
        given = _params(params.ResizeParams, call)
        session.resize(Terminal(rows=given.rows, cols=given.cols))

    async def _cancel(self, session: Session, call: Call) -> None:
        # Not waited for: the client's next messages may be about other commands.
        self._begin(session.kill())

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._writer.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))


def _params(kind: type[_P], call: Call) -> _P:
    try:
        return params.parse(kind, call.params)
    except ConfigError as error:
        message = f"{call.method}: {error}"
        raise ProtocolError(rpc.INVALID_PARAMS, message, call.request_id) from error


async def _kill(started: asyncio.Future[Session | None]) -> None:
    session = await started
    if session is not None:
        await session.kill()
