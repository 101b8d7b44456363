"""The agent's Unix socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fakevm_agent.protocol import rpc
from fakevm_agent.server.client import LINE_MAX, Client
from fakevm_agent.server.requests import Requests


class Server:
    """What listens."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._clients: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[None]:
        """Serve clients during the block."""
        try:
            async with rpc.serving(path, self._serve, line_max=LINE_MAX):
                yield
        finally:
            for task in self._clients:
                task.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._clients.add(task)
        try:
            await Client(self._requests, reader, writer).serve()
        except ConnectionError:
            pass  # It is gone.
        finally:
            self._clients.discard(task)
            writer.close()
