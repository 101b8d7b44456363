"""The agent's life: start, restore, serve, stop."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fakevm.errors import FakevmError

from . import config
from .host import Host
from .osvif import OsVif
from .ovsdb import Ovsdb
from .run import Spawner
from .server import Server

LOG = logging.getLogger("fakevm_agent")

_RETRY = 0.5


def run(arguments: Sequence[str], *, spawner_pid: int, orders: socket.socket) -> int:
    """Serve until SIGTERM or SIGINT; VMs stay as they are."""
    conf = config.load(arguments)
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.DEBUG if conf.debug else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    if not conf.debug:
        LOG.setLevel(logging.INFO)
    spawner = Spawner(orders)
    try:
        asyncio.run(_serve(conf, spawner))
    finally:
        spawner.close()
        os.waitpid(spawner_pid, 0)
    return 0


async def _serve(conf: Any, spawner: Spawner) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ovsdb = Ovsdb(conf.fakevm.ovsdb_connection, timeout=conf.fakevm.ovsdb_timeout)
    osvif = OsVif(conf)
    host = Host(conf, ovsdb=ovsdb, osvif=osvif, spawner=spawner)
    server = Server(host, spawner, workers=conf.fakevm.workers, patience=conf.fakevm.ovsdb_timeout)
    path = Path(conf.fakevm.socket_path)
    async with server.listening(path):
        LOG.info("%s listens on %s", conf.host, path)
        restore = asyncio.create_task(_restore(server, ovsdb, osvif))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({restore, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            # A bug in it ends the agent, so that its supervisor shows it.
            await restore
            await stopped
        restore.cancel()
        LOG.info("%s stops; its VMs stay", conf.host)
    ovsdb.close()


async def _restore(server: Server, ovsdb: Ovsdb, osvif: OsVif) -> None:
    """Wait for Open vSwitch's database, then make the VMs again."""
    said = ""
    while True:
        try:
            await server.in_thread(ovsdb.connect)
            await server.in_thread(osvif.connect)
            break
        except FakevmError as error:
            if str(error) != said:
                LOG.warning("%s; waiting", error)
                said = str(error)
        await asyncio.sleep(_RETRY)
    try:
        await server.in_thread(server.host.restore)
    except FakevmError as error:
        LOG.error("VMs can't be made again: %s", error)
    server.ready.set()
    LOG.info("ready")
