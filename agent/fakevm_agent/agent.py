"""The agent's life: start, restore, serve, stop."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fakevm.errors import FakevmError
from fakevm_agent import asleep, config
from fakevm_agent.api import Api
from fakevm_agent.guest.run import Spawner
from fakevm_agent.host.parts import Host
from fakevm_agent.kernel.sockets import listen
from fakevm_agent.ovs.ovsdb import Ovsdb
from fakevm_agent.server.listener import Server
from fakevm_agent.server.requests import Requests
from fakevm_agent.server.workers import Workers
from fakevm_agent.vif import drivers as vif_drivers
from fakevm_agent.vif.on_demand import OsVifOnDemand
from fakevm_agent.vms import restart
from fakevm_agent.vms.neutron import Neutron

LOG = logging.getLogger("fakevm_agent")

_RETRY = 0.5
_RETRY_MAX = 8.0


def run(
    arguments: Sequence[str],
    *,
    spawner_pid: int,
    orders: socket.socket,
    slept: socket.socket | None,
) -> socket.socket | None:
    """Serve until SIGTERM or SIGINT, or until nobody asks; VMs stay as they are.

    `slept`: the socket of an agent that fell asleep. Returned is the one to fall asleep on.
    """
    conf = config.load(arguments)
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.DEBUG if conf.debug else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    if not conf.debug:
        LOG.setLevel(logging.INFO)
    spawner = Spawner(orders)
    path = Path(conf.fakevm.socket_path)
    listener = slept or listen(path)
    asleep.wake_up(listener)
    idle = False
    try:
        idle = asyncio.run(_serve(conf, spawner, listener, restored=slept is not None))
    finally:
        if not idle:
            path.unlink(missing_ok=True)
        spawner.close()
        os.waitpid(spawner_pid, 0)
    return listener if idle else None


async def _serve(conf: Any, spawner: Spawner, listener: socket.socket, *, restored: bool) -> bool:
    """Serve; tell whether it ended since nobody asks. `restored`: the VMs are as they were left."""
    stop = _stop_by_signal()
    osvif = OsVifOnDemand(conf)
    host = _host(conf, osvif, spawner)
    api = Api(
        conf.fakevm.neutron_url,
        keystone_url=conf.fakevm.keystone_url,
        login=conf.fakevm.keystone_login,
    )
    neutron = Neutron(api, host=conf.host)
    workers = Workers(conf.fakevm.workers, patience=conf.fakevm.ovsdb_timeout)
    server = Server(Requests(host, workers), listener)
    try:
        async with server.listening():
            LOG.info("%s listens on %s", conf.host, conf.fakevm.socket_path)
            if restored:
                work = _go_on(host, workers)
            else:
                patience = conf.fakevm.neutron_timeout
                work = _restore(host, workers, osvif, neutron, patience=patience)
            restore = asyncio.create_task(work)
            stopped = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({restore, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not stopped.done():
                    # A bug in it ends the agent, so that its supervisor shows it.
                    await restore
                    idle = asyncio.create_task(server.idle(conf.fakevm.idle_s))
                    await asyncio.wait({stopped, idle}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                host.stop.set()
            restore.cancel()
            is_idle = not stop.is_set()
            does = "falls asleep until it is asked" if is_idle else "stops"
            LOG.info("%s %s; its VMs stay", conf.host, does)
    finally:
        workers.close()
    host.ovsdb.close()
    if is_idle:
        asleep.end_by_signal(listener)
    return is_idle and not stop.is_set()


def _stop_by_signal() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set: at once, since the loop may be at its end by then."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def ordered(*_: object) -> None:
        stop.set()
        # Closed, where it stops already.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None)

    for number in asleep.ENDS:
        signal.signal(number, ordered)
    return stop


def _host(conf: Any, osvif: OsVifOnDemand, spawner: Spawner) -> Host:
    drivers = vif_drivers.load(osvif)
    ovsdb = Ovsdb(
        conf.fakevm.ovsdb_connection,
        timeout=conf.fakevm.ovsdb_timeout,
        port_names=drivers.port_names,
    )
    return Host(
        name=conf.host,
        integration_bridge=conf.fakevm.integration_bridge,
        state_path=config.state_path(conf),
        ofport_timeout=conf.fakevm.ofport_timeout,
        ovsdb=ovsdb,
        drivers=drivers,
        spawner=spawner,
    )


async def _restore(
    host: Host, workers: Workers, osvif: OsVifOnDemand, neutron: Neutron, *, patience: float
) -> None:
    """Wait for Open vSwitch's database, then make the VMs again that are still this host's.

    Where Neutron does not say in time which are not, all are made, and it is asked further.
    """
    await _connect(workers, host.ovsdb.connect)
    asking = asyncio.create_task(_moved(host, workers, neutron))
    try:
        await asyncio.wait({asking}, timeout=patience)
        in_time = asking.done()
        if in_time:
            await workers.in_thread(restart.destroy_moved, host, neutron, await asking)
        try:
            await workers.in_thread(restart.restore, host)
        except FakevmError as error:
            LOG.error("VMs can't be made again: %s", error)
        workers.ready.set()
        LOG.info("ready")
        if not in_time:
            await workers.in_thread(restart.destroy_moved, host, neutron, await asking)
    finally:
        asking.cancel()
    # Who asks for something else has no need of it; the first plug is not to wait for it.
    await _connect(workers, osvif.connect)


async def _go_on(host: Host, workers: Workers) -> None:
    """Be ready again for VMs that needed nobody meanwhile.

    Where Open vSwitch's database is down, too, as is who was awake when it went: what needs it says
    so.
    """
    await _connect(workers, host.ovsdb.connect, refused=workers.ready.set)
    workers.ready.set()
    LOG.info("ready")


async def _connect(
    workers: Workers, connect: Callable[[], None], *, refused: Callable[[], None] | None = None
) -> None:
    said = ""
    while True:
        try:
            await workers.in_thread(connect)
            return
        except FakevmError as error:
            if refused:
                refused()
            if str(error) != said:
                LOG.warning("%s; waiting", error)
                said = str(error)
        await asyncio.sleep(_RETRY)


async def _moved(host: Host, workers: Workers, neutron: Neutron) -> Collection[str]:
    """Ask Neutron until it has said which VIFs are on other hosts by now."""
    pause = _RETRY
    while True:
        try:
            return await workers.in_thread(restart.moved, host, neutron)
        except FakevmError as error:
            if pause == _RETRY:
                LOG.warning("%s; asking again", error)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _RETRY_MAX)
