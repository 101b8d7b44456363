"""One stream of fakevm's: requests side by side, until it writes no more."""

import asyncio
import contextlib
import logging

from fakevm.errors import FakevmError
from fakevm_agent.nova_events.nova import NovaEvents
from fakevm_agent.protocol import rpc
from fakevm_agent.protocol.rpc import ProtocolError

LOG = logging.getLogger("nova_events")

LINE_MAX = 1024 * 1024
_REQUESTS_MAX = 256
# How long answers may still take when a client has written its last request.
_LAST_WORDS = 1


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
            too_long = ProtocolError(rpc.INVALID_REQUEST, f"a line is above {LINE_MAX} bytes")
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
