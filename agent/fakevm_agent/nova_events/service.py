"""nova-events, a service of the lab: the end of Neutron's notifications that Nova has elsewhere.

Neutron posts its events over HTTP. fakevm reads them over a Unix socket with the agents' protocol,
says there which servers there are, and records its own steps between them.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fakevm.names import AGENT_SOCKET
from fakevm_agent.api import Api
from fakevm_agent.nova_events import http_server
from fakevm_agent.nova_events.client import LINE_MAX, Client
from fakevm_agent.nova_events.nova import NovaEvents, OnChange
from fakevm_agent.nova_events.nova_api import Answer, Request
from fakevm_agent.nova_events.peers import name_of
from fakevm_agent.nova_events.refresh import Refresh
from fakevm_agent.protocol import rpc

LOG = logging.getLogger("nova_events")

PORT = 18774

_CONNECTIONS_MAX = 500
# A compute service takes any number of events at once; a lab has some hosts, and few cores.
_READERS = 8


class Server:
    """What listens."""

    def __init__(self, nova: NovaEvents) -> None:
        self._nova = nova
        self._connections: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self, path: Path, *, address: str, port: int) -> AsyncIterator[int]:
        """Serve Neutron and fakevm during the block; gives the port, the system's choice for 0."""
        try:
            async with rpc.serving(path, self._local, line_max=LINE_MAX):
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
        peer = await name_of(writer.get_extra_info("peername")[0])

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


async def run(
    path: Path, *, port: int, neutron: Api | None = None, metadata_secret: str = ""
) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    on_change = reading(neutron) if neutron else lambda *_: None
    nova = NovaEvents(on_change=on_change, metadata_secret=metadata_secret)
    async with Server(nova).listening(path, address="0.0.0.0", port=port) as bound:
        LOG.info("listens on port %s and on %s", bound, path)
        await stop.wait()


def reading(neutron: Api) -> OnChange:
    """Return what reads of this Neutron as Nova does, in the background."""
    pool, refresh = ThreadPoolExecutor(_READERS, "refresh"), Refresh(neutron)
    return lambda *event: pool.submit(refresh.refresh, *event)


def main() -> None:
    """Run the service; FAKEVM_ANSWER_AS_NOVA: it reads of Neutron what Nova would.

    FAKEVM_METADATA_SECRET is shared with Neutron's metadata agents.
    """
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s")
    answers = os.environ.get("FAKEVM_ANSWER_AS_NOVA", "false") == "true"
    neutron = (
        Api(
            os.environ["FAKEVM_API"],
            keystone_url=os.environ.get("FAKEVM_KEYSTONE_URL", ""),
            login=os.environ.get("FAKEVM_KEYSTONE_LOGIN", ""),
        )
        if answers
        else None
    )
    secret = os.environ.get("FAKEVM_METADATA_SECRET", "")
    asyncio.run(run(Path(AGENT_SOCKET), port=PORT, neutron=neutron, metadata_secret=secret))
