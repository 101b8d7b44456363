"""A client's commands in VMs, by the ids of its requests, and what it sends to them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from fakevm.errors import WaitTimeoutError
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

    `run` starts one, `write` says a line to the client, `begin` lets work go on beside what is
    read, and `is_gone` tells whether the client has closed its end.
    """

    def __init__(
        self,
        run: Callable[[params.ExecParams], Awaitable[Running]],
        *,
        write: Callable[[bytes], Awaitable[None]],
        begin: Callable[[Coroutine[Any, Any, None]], None],
        is_gone: Callable[[], bool],
    ) -> None:
        self._run = run
        self._write = write
        self._begin = begin
        self._is_gone = is_gone
        # A command's input may come before the command runs, so what waits for it is there first.
        self._sessions: dict[rpc.Id, asyncio.Future[Session | None]] = {}
        self._notices: Mapping[str, Callable[[Session, Call], Awaitable[None]]] = {
            "exec.stdin": self._stdin,
            "exec.resize": self._resize,
            "exec.cancel": self._cancel,
        }

    def expect(self, call: Call) -> None:
        """Be ready for what is sent to a command that is asked for."""
        if call.request_id in self._sessions:
            reason = "id: a command with this id runs already"
            raise ProtocolError(rpc.INVALID_REQUEST, reason, call.request_id)
        self._sessions[call.request_id] = asyncio.get_running_loop().create_future()

    def forget(self, call: Call) -> None:
        """Let nobody wait for a command that was refused before it could start."""
        started = self._sessions.pop(call.request_id, None)
        if started:
            started.set_result(None)

    async def exec(self, call: Call) -> object:
        """Run the command until it ends, or its time is over."""
        started = self._sessions[call.request_id]
        try:
            given = parsed(params.ExecParams, call)
            running = await self._run(given)
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

    async def notice(self, call: Call) -> None:
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

    def kill_all(self) -> None:
        """End them all, those too that are still to start."""
        for started in self._sessions.values():
            self._begin(_kill(started))

    async def _output(self, request_id: rpc.Id, stream: Stream, data: str) -> None:
        said = {"id": request_id, "stream": stream, "data": data}
        await self._write(rpc.notification("exec.output", said))

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


async def _kill(started: asyncio.Future[Session | None]) -> None:
    session = await started
    if session is not None:
        await session.kill()
