"""One client's stream: a request a line, side by side, and their answers as they come.

It ends when the client writes no more: its commands in VMs are ended then, since a client behind
`docker exec` can say that it is gone in no other way. Its other requests are carried out.
"""

import asyncio
import contextlib
import logging
import select
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from fakevm.errors import ConflictError, FakevmError
from fakevm_agent.protocol import rpc
from fakevm_agent.protocol.rpc import Call, ProtocolError
from fakevm_agent.server.commands import Commands
from fakevm_agent.server.requests import ALIVE, Requests

LOG = logging.getLogger(__name__)

LINE_MAX = 8 * 1024 * 1024
# Of one client, so that it can't take all memory with requests whose answers it never reads.
_REQUESTS_MAX = 1024


class Client:
    """One client's stream."""

    def __init__(
        self, requests: Requests, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # Whether it asked for more than whether the agent is there.
        self.asked = False
        self._requests = requests
        self._reader = reader
        self._writer = writer
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._commands = Commands(
            run=requests.run,
            run_each=requests.run_each,
            write=self._write,
            begin=self._begin,
            is_gone=self._hung_up,
        )
        self._by_method: Mapping[str, Callable[[Call], Awaitable[object]]] = {
            **requests.by_method,
            **self._commands.by_method,
        }

    async def serve(self) -> None:
        """Take requests until the client writes no more, then end what it began."""
        try:
            while line := await self._line():
                await self._take(line)
        finally:
            self._commands.kill_all()
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
            too_long = ProtocolError(rpc.INVALID_REQUEST, f"a line is above {LINE_MAX} bytes")
            await self._answer_failure(None, too_long)
        return b""

    async def _take(self, line: bytes) -> None:
        try:
            call = rpc.parse(line)
            if call.notification:
                await self._commands.notice(call)
                return
            if call.method not in self._by_method:
                known = ", ".join(self._by_method)
                reason = f"no method {call.method!r:.80}; there are: {known}"
                raise ProtocolError(rpc.METHOD_NOT_FOUND, reason, call.request_id)
            if len(self._tasks) >= _REQUESTS_MAX:
                await self._answer_failure(
                    call.request_id,
                    ConflictError(f"{_REQUESTS_MAX} requests of this client are not answered yet"),
                )
                return
            self._commands.expect(call)
        except ProtocolError as error:
            await self._answer_failure(error.request_id, error)
            return
        self.asked = self.asked or call.method != ALIVE
        self._begin(self._answer(call))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, call: Call) -> None:
        try:
            try:
                await self._requests.wait_until_ready()
            except FakevmError:
                self._commands.forget(call)
                raise
            value = await self._by_method[call.method](call)
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

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._writer.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))
