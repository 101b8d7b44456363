"""The agent's clients: who connects is served."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator

from fakevm_agent.server.client import LINE_MAX, Client
from fakevm_agent.server.requests import Requests

LOG = logging.getLogger(__name__)

# Where there are too many open files: asyncio's servers wait as long.
_PAUSE = 1.0
_LOOK_INTERVAL = 1.0


class Server:
    """What takes clients from a socket that listens, which stays open at the end."""

    def __init__(self, requests: Requests, listener: socket.socket) -> None:
        self._requests = requests
        self._listener = listener
        self._clients: set[asyncio.Task[None]] = set()
        self._asked = 0.0
        self._again: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serve clients during the block."""
        self._listener.setblocking(False)
        self._asked = asyncio.get_running_loop().time()
        self._take()
        try:
            yield
        finally:
            self._take_no_more()
            for task in self._clients:
                task.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)

    async def idle(self, seconds: float) -> None:
        """Return when nobody has asked for so long; who comes from then on is left in the queue.

        0: never.
        """
        loop = asyncio.get_running_loop()
        if not seconds:
            await loop.create_future()
        while self._clients or loop.time() - self._asked < seconds:
            await asyncio.sleep(min(_LOOK_INTERVAL, seconds))
        self._take_no_more()

    # Not one of asyncio's servers: what they have taken when they are closed, they may drop, and
    # they close the socket.
    def _take(self) -> None:
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _take_no_more(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        if self._again:
            self._again.cancel()

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            LOG.error("can't take a client: %s", error)
            self._take_no_more()
            self._again = loop.call_later(_PAUSE, self._take)
            return
        task = loop.create_task(self._serve(connection))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LINE_MAX)
        client = Client(self._requests, reader, writer)
        try:
            await client.serve()
        except ConnectionError:
            pass  # It is gone.
        finally:
            writer.close()
            if client.asked:
                self._asked = asyncio.get_running_loop().time()
