"""A client's commands in VMs, by the ids of its requests, and what it sends to them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from fakevm.errors import FakevmError, WaitTimeoutError
from fakevm_agent.guest.run import Running, Terminal
from fakevm_agent.protocol import rpc
from fakevm_agent.protocol.rpc import Call, ProtocolError
from fakevm_agent.server import params
from fakevm_agent.server.requests import parsed
from fakevm_agent.server.session import Session, Stream

LOG = logging.getLogger(__name__)

_HANG_UP_INTERVAL = 0.25


class Commands:
    """The commands of one client.

    `run` and `run_each` start them, `write` says a line to the client, `begin` lets work go on
    beside what is read, and `is_gone` tells whether the client has closed its end.
    """

    def __init__(
        self,
        *,
        run: Callable[[params.ExecParams], Awaitable[Running]],
        run_each: Callable[[params.ExecEachParams], Awaitable[Sequence[Running | FakevmError]]],
        write: Callable[[bytes], Awaitable[None]],
        begin: Callable[[Coroutine[Any, Any, None]], None],
        is_gone: Callable[[], bool],
    ) -> None:
        self._run = run
        self._run_each = run_each
        self._write = write
        self._begin = begin
        self._is_gone = is_gone
        # By the ids of requests. A command's input may come before the command runs, so what waits
        # for it is there first.
        self._sessions: dict[rpc.Id, asyncio.Future[Sequence[Session]]] = {}
        self.by_method: Mapping[str, Callable[[Call], Awaitable[object]]] = {
            "exec": self._exec,
            "exec_each": self._exec_each,
        }
        self._notices: Mapping[str, Callable[[Session, Call], Awaitable[None]]] = {
            "exec.stdin": self._stdin,
            "exec.resize": self._resize,
            "exec.cancel": self._cancel,
        }

    def expect(self, call: Call) -> None:
        """Be ready for what is sent to a command, if it is one that is asked for."""
        if call.method not in self.by_method:
            return
        if call.request_id in self._sessions:
            reason = "id: a command with this id runs already"
            raise ProtocolError(rpc.INVALID_REQUEST, reason, call.request_id)
        self._sessions[call.request_id] = asyncio.get_running_loop().create_future()

    def forget(self, call: Call) -> None:
        """Let nobody wait for a command that is not there, or not any more."""
        started = self._sessions.pop(call.request_id, None)
        if started and not started.done():
            started.set_result(())

    async def _exec(self, call: Call) -> object:
        """Run a command until it ends, or its time is over."""
        try:
            given = parsed(params.ExecParams, call)
            session = self._session(await self._run(given), id=call.request_id)
            (end,) = await self._finish(call, [session], given)
        finally:
            self.forget(call)
        if isinstance(end, FakevmError):
            raise end
        return {"exit_code": end}

    async def _exec_each(self, call: Call) -> object:
        """Run a command in several VMs until the last has ended, or their time is over."""
        try:
            given = parsed(params.ExecEachParams, call)
            ends: dict[str, int | FakevmError] = {}
            sessions = {}
            started = await self._run_each(given)
            for instance_id, running in zip(given.instance_ids, started, strict=True):
                if isinstance(running, FakevmError):
                    ends[instance_id] = running
                else:
                    names = {"id": call.request_id, "instance_id": instance_id}
                    sessions[instance_id] = self._session(running, **names)
            found = await self._finish(call, list(sessions.values()), given)
            ends |= zip(sessions, found, strict=True)
        finally:
            self.forget(call)
        return {"ends": {instance_id: _told(end) for instance_id, end in ends.items()}}

    def _session(self, running: Running, **names: rpc.Id) -> Session:
        async def output(stream: Stream, data: str) -> None:
            said = {**names, "stream": stream, "data": data}
            await self._write(rpc.notification("exec.output", said))

        return Session(running, output)

    async def _finish(
        self, call: Call, sessions: Sequence[Session], given: params.CommandParams
    ) -> list[int | FakevmError]:
        """Wait until commands have ended; return the exit code of each, or why it has none."""
        self._sessions[call.request_id].set_result(sessions)
        work = {asyncio.create_task(session.run()): session for session in sessions}
        late = (await asyncio.wait(work, timeout=given.timeout_s))[1] if work else set()
        await asyncio.gather(*(work[task].kill() for task in late))
        ends: list[int | FakevmError] = []
        for task in work:
            try:
                code = await task
                ends.append(_timed_out(given) if task in late else code)
            except FakevmError as error:
                ends.append(error)
        return ends

    async def notice(self, call: Call) -> None:
        """Take a notification. It has no answer; for a command that has ended it is late."""
        number = call.params.get("id")
        if call.method not in self._notices or not isinstance(number, rpc.Id):
            return
        started = self._sessions.get(number)
        for session in await started if started else ():
            try:
                await self._notices[call.method](session, call)
            except ProtocolError as error:
                LOG.warning("%s: %s", call.method, error)

    def kill_all(self) -> None:
        """End them all, those too that are still to start."""
        for started in self._sessions.values():
            self._begin(_kill(started))

    async def _stdin(self, session: Session, call: Call) -> None:
        data = parsed(params.StdinParams, call).data
        feeding = asyncio.create_task(session.feed(data))
        # While the command does not read, neither do we, and so would not see the client go.
        while not (await asyncio.wait({feeding}, timeout=_HANG_UP_INTERVAL))[0]:
            if self._is_gone():
                await session.kill()

    async def _resize(self, session: Session, call: Call) -> None:
        given = parsed(params.ResizeParams, call)
        session.resize(Terminal(rows=given.rows, cols=given.cols))

    async def _cancel(self, session: Session, call: Call) -> None:
        # Not waited for: the client's next messages may be about other commands.
        self._begin(session.kill())


async def _kill(started: asyncio.Future[Sequence[Session]]) -> None:
    await asyncio.gather(*(session.kill() for session in await started))


def _timed_out(given: params.CommandParams) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"{given.argv[0]!r:.80} had not ended after {given.timeout_s:g} s "
        "and was killed, with all its children"
    )


def _told(end: int | FakevmError) -> Mapping[str, Any]:
    return {"error": rpc.error(end)} if isinstance(end, FakevmError) else {"exit_code": end}
