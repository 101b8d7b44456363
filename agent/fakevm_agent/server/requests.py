"""The agent's requests: their parameters in, what is done, values out."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from fakevm.errors import ConfigError, FakevmError
from fakevm_agent.guest.run import Running
from fakevm_agent.host import overview
from fakevm_agent.host.parts import Host
from fakevm_agent.protocol import rpc, wire
from fakevm_agent.protocol.rpc import Call, ProtocolError
from fakevm_agent.server import params
from fakevm_agent.server.workers import Workers
from fakevm_agent.vms import pause, plug
from fakevm_agent.vms.cleanup import cleanup
from fakevm_agent.vms.configure import configure

# What host-healthy asks: it keeps no agent awake.
ALIVE = "alive"

_P = TypeVar("_P", bound=params.Params)


class Requests:
    """What can be asked of this host, by method; commands in VMs are a stream's (commands.py)."""

    def __init__(self, host: Host, workers: Workers) -> None:
        self._host = host
        self._workers = workers
        self.by_method: Mapping[str, Callable[[Call], Awaitable[object]]] = {
            ALIVE: self._alive,
            "info": self._info,
            "plug": self._plug,
            "suspend": self._suspend,
            "resume": self._resume,
            "configure": self._configure,
            "unplug": self._unplug,
            "list": self._list,
            "vms": self._vms,
            "cleanup": self._cleanup,
        }

    async def wait_until_ready(self) -> None:
        """Wait until the start's work is done, or raise UnavailableError."""
        await self._workers.wait_until_ready()

    async def run(self, given: params.ExecParams) -> Running:
        """Start a command in a VM."""
        return await self._workers.in_thread(self._run, given)

    def _run(self, given: params.ExecParams) -> Running:
        guest = overview.guest_of(self._host, given.port_id)
        return self._host.spawner.run(guest, given.argv, terminal=given.tty, stdin=given.stdin)

    async def run_each(self, given: params.ExecEachParams) -> list[Running | FakevmError]:
        """Start a command in several VMs; return what runs, or why not, of each in turn."""
        guests = [self._host.guest(instance_id) for instance_id in given.instance_ids]
        return await self._workers.in_thread(self._host.spawner.run_each, guests, given.argv)

    async def _alive(self, call: Call) -> object:
        parsed(params.Nothing, call)
        # Through a thread, as all that others ask.
        await self._workers.in_thread(self._host.ovsdb.version)
        return True

    async def _info(self, call: Call) -> object:
        parsed(params.Nothing, call)
        return wire.dump(await self._workers.in_thread(overview.info, self._host))

    async def _plug(self, call: Call) -> object:
        given = parsed(params.PlugParams, call)
        plugged, changed = await self._workers.in_turn(
            given.vif.port_id,
            plug.plug,
            self._host,
            given.vif,
            given.vm,
            paused=given.paused,
            late_tap=given.late_tap,
            nic=given.nic,
        )
        return {**wire.dump(plugged), "changed": changed}

    async def _suspend(self, call: Call) -> object:
        given = parsed(params.SuspendParams, call)
        found = await self._workers.in_turn(
            given.instance_id, pause.suspend, self._host, given.instance_id, keep=given.keep
        )
        return wire.dump(found)

    async def _resume(self, call: Call) -> object:
        given = parsed(params.ResumeParams, call)
        now = await self._workers.in_turn(
            *(given.instance_id, pause.resume),
            *(self._host, given.instance_id, given.state),
            rarp=given.rarp,
        )
        return {"time": now}

    async def _configure(self, call: Call) -> object:
        given = parsed(params.ConfigureParams, call)
        addresses = await self._workers.in_thread(
            configure, self._host, given.port_id, timeout=given.timeout_s
        )
        return {"addresses": addresses}

    async def _unplug(self, call: Call) -> object:
        given = parsed(params.PortParams, call)
        changed = await self._workers.in_turn(given.port_id, plug.unplug, self._host, given.port_id)
        return {"port_id": given.port_id, "changed": changed}

    async def _list(self, call: Call) -> object:
        given = parsed(params.ListParams, call)
        vifs = await self._workers.in_thread(overview.vifs, self._host, given.port_id)
        return {"vifs": [wire.dump(vif) for vif in vifs]}

    async def _vms(self, call: Call) -> object:
        parsed(params.Nothing, call)
        vms = await self._workers.in_thread(overview.vms)
        return {"vms": [wire.dump(vm) for vm in vms]}

    async def _cleanup(self, call: Call) -> object:
        given = parsed(params.CleanupParams, call)
        only = None if given.only is None else frozenset(given.only)
        removed = await self._workers.in_thread(
            cleanup, self._host, frozenset(given.keep), only=only, dry_run=given.dry_run
        )
        return {"removed": [wire.dump(item) for item in removed]}


def parsed(kind: type[_P], call: Call) -> _P:
    """Return a call's parameters, or raise ProtocolError naming the one that is wrong."""
    try:
        return params.parse(kind, call.params)
    except ConfigError as error:
        message = f"{call.method}: {error}"
        raise ProtocolError(rpc.INVALID_PARAMS, message, call.request_id) from error
