"""Ports are created and plugged: what `fakevm create-port` and `plug` do in a lab."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace

from fakevm.clients.agents import Agent
from fakevm.clients.parts import Parts
from fakevm.errors import ConfigError, ConflictError, FakevmError
from fakevm.inventory import addresses, overview, vifs
from fakevm.inventory.addresses import Addressing
from fakevm.inventory.rows import Row, join, joined
from fakevm.model import FixedIp, PluggedVif, Vm
from fakevm.neutron.values import Network, Port
from fakevm.protocol.clock import Clock, Timings
from fakevm.protocol.interrupt import deferred
from fakevm.protocol.journal import Journal, note
from fakevm.protocol.lock import exclusive_vm
from fakevm.vms import given
from fakevm.vms.boot import Boot, complete, user_body
from fakevm.vms.placement import host_for
from fakevm.vms.requests import GuestFailedError, Plugging, PortRequest


@dataclass(frozen=True, kw_only=True)
class CreatedPort:
    """A port that was created and plugged."""

    row: Row
    timings: Timings


def create(
    lab: Parts,
    request: PortRequest,
    network: Network,
    *,
    plugging: Plugging,
    timeout_s: float,
    clock: Clock,
) -> CreatedPort:
    """Create a port on a network, plug it, wait until it works; what was made is undone if not."""
    vm = vifs.vm_of(request.instance)
    if request.security_groups and not request.port_security:
        raise ConfigError("a port without port security has no security groups")
    with alone(lab, vm, timeout_s):
        host, known = host_for(lab, vm, request.host)
        project = lab.neutron.project_id(request.project)
        groups = [lab.neutron.security_group_id(ref, project) for ref in request.security_groups]
        body = user_body(request, vm, network, groups, project)

        def build(host: str, *, starts: bool) -> tuple[Port, list[PluggedVif]]:
            agent = lab.agent(host)
            with booting(lab, vm, agent, known=known, plugging=plugging, clock=clock) as boot:
                port = boot.bind(boot.create(body))
                ips = fixed_ips(lab, port, network, request.addressing)
                boot.plug(port, network, ips, preserve=False, timeout_s=timeout_s, starts=starts)
                return port, agent.vifs(port.id)

        if request.reschedule:
            host = _failed_on(lab, host, request.reschedule, running=known, build=build)
        port, plugged = build(host, starts=True)
    (row,) = join([replace(port, status="ACTIVE")], {host: plugged})
    return CreatedPort(row=replace(row, network=network.name), timings=clock.timings())


def _failed_on(
    lab: Parts,
    first: str,
    reschedule: str,
    *,
    running: bool,
    build: Callable[..., object],
) -> str:
    """Let a build fail on its first host, as a guest that does not start; return the second.

    Nova 34 deallocates before it reschedules: its own port is deleted, and the second attempt makes
    a new one (ComputeManager._do_build_and_run_instance). Nothing else that fails is rescheduled.
    """
    second = lab.host(reschedule)
    if running:
        raise ConflictError("the VM runs already: only a boot is rescheduled")
    if second == first:
        raise ConfigError(f"--reschedule {reschedule}: another host than {first} is expected")
    try:
        build(first, starts=False)
    except (GuestFailedError, vifs.BindingFailedError) as error:
        if getattr(error, "__notes__", ()):
            # Not all could be undone.
            raise
        lab.say(f"{error}; rescheduled to {second}")
    return second


def plug(
    lab: Parts,
    port: Port,
    *,
    host: str | None,
    addressing: Addressing | None,
    plugging: Plugging,
    timeout_s: float,
) -> Row:
    """Plug a port on its host; one that is not bound yet is bound first, and its VM boots with it.

    What is plugged already comes by its addresses as before, if nothing else is asked for.
    """
    wanted = lab.host(host) if host else None
    vm = vifs.vm_of_port(port, (), lab.server(port.device_id) if port.device_id else None)
    network = lab.neutron.network_of(port)
    with alone(lab, vm, timeout_s):
        # Who was waited for may have changed it.
        port = lab.neutron.port(port.id)
        if port.device_id not in ("", vm.instance_id):
            raise ConflictError(f"port {port.id} belongs to VM {port.device_id}")
        if not port.bound:
            give(lab, port, network, vm, wanted, addressing or "dhcp", plugging, timeout_s)
        elif wanted in (None, port.host):
            _plug_again(lab, port, network, addressing, timeout_s)
        else:
            return _plug_elsewhere(lab, port, network, str(wanted), addressing or "dhcp")
    return overview.row(lab, lab.neutron.port(port.id))


def alone(lab: Parts, vm: Vm, timeout_s: float) -> AbstractContextManager[None]:
    """Keep what is done with a VM's other ports, and a migration of it, from coming in between."""
    return exclusive_vm(lab.home, vm.instance_id, called=vm.name, wait_s=timeout_s)


def fixed_ips(
    lab: Parts, port: Port, network: Network, addressing: Addressing
) -> tuple[FixedIp, ...]:
    """Return a port's addresses; with a warning where no router advertises by SLAAC."""
    used = {ip.subnet_id for ip in port.fixed_ips}
    silent = {
        subnet.id
        for subnet in network.subnets
        if subnet.id in used
        and addresses.method(subnet, "dhcp") == "slaac"
        and subnet.ipv6_ra_mode
        and not lab.neutron.has_router(subnet)
    }
    for subnet in network.subnets:
        if subnet.id in silent:
            lab.say(f"warning: no router is on subnet {subnet.cidr}: no address by SLAAC")
    return addresses.fixed_ips(port, network, addressing, silent=silent)


def _runs(agent: Agent, vm: Vm) -> bool:
    """Tell whether a VM runs on its host, and has not only its ports bound to it.

    Refuse another NIC to one that is paused, which would not be.
    """
    here = [one for one in agent.vifs() if one.instance_id == vm.instance_id]
    if any(one.paused for one in here):
        raise ConflictError(f"VM {vm.name} is paused", hint=f"fakevm unpause {vm.name}")
    return bool(here)


@contextmanager
def booting(
    lab: Parts, vm: Vm, agent: Agent, *, known: bool, plugging: Plugging, clock: Clock
) -> Iterator[Boot]:
    """Give what boots a VM, or attaches to it; undone if the block fails.

    known: it has ports that are bound to the host.
    """
    with _undone_on_failure() as undo:
        yield Boot(
            *(lab, vm, agent),
            known=known,
            running=known and _runs(agent, vm),
            plugging=plugging,
            journal=Journal(tell=note(lab.events, vm.instance_id)),
            clock=clock,
            undo=undo,
        )


def give(
    lab: Parts,
    port: Port,
    network: Network,
    vm: Vm,
    wanted: str | None,
    addressing: Addressing,
    plugging: Plugging,
    timeout_s: float,
) -> None:
    """Bind a port that a user made to a VM's host, and plug it."""
    host, known = host_for(lab, vm, wanted)
    # One that could not be bound may be the VM's own.
    own = port.device_id and not given.is_given(lab.server(port.device_id), port.id)
    agent = lab.agent(host)
    clock = Clock(lab.neutron, start=time.monotonic())
    with booting(lab, vm, agent, known=known, plugging=plugging, clock=clock) as boot:
        bound = boot.bind(port, given=not own)
        ips = fixed_ips(lab, bound, network, addressing)
        boot.plug(bound, network, ips, preserve=not own, timeout_s=timeout_s)


def _plug_again(
    lab: Parts, port: Port, network: Network, addressing: Addressing | None, timeout_s: float
) -> None:
    """Plug a port on the host that it is bound to."""
    agent = lab.agent(port.host)
    ips = fixed_ips(lab, port, network, addressing or "dhcp")
    present = agent.vifs()
    before = next((one for one in present if one.port_id == port.id), None)
    if before and not addressing:
        ips = addresses.as_before(ips, before)
    server = lab.server(port.device_id)
    preserve = before.preserve_on_delete if before else given.is_given(server, port.id)
    vif = vifs.vif(port, network, port, ips, preserve_on_delete=preserve)
    with _undone_on_failure() as undo:
        if before is None:
            undo.callback(agent.unplug, port.id)
        # Were it cut off, the undo could overtake it.
        paused = before is not None and before.paused
        with deferred():
            vm = vifs.vm_of_port(port, present, server)
            agent.plug(vif, vm, paused=paused)
        if not paused:
            clock = Clock(lab.neutron, start=time.monotonic())
            complete(lab, agent, port, clock, timeout_s=timeout_s)


def _plug_elsewhere(
    lab: Parts, port: Port, network: Network, host: str, addressing: Addressing
) -> Row:
    """Plug on a host that the port has an inactive binding to, as a migration does."""
    for binding in lab.neutron.bindings(port.id):
        if binding.host == host:
            ips = addresses.fixed_ips(port, network, addressing)
            vm = vifs.vm_of_port(port)
            # Its NIC would talk with the MAC of the one on the active host.
            agent = lab.agent(host)
            preserve = given.is_given(lab.server(port.device_id), port.id)
            vif = vifs.vif(port, network, binding, ips, preserve_on_delete=preserve)
            agent.plug(vif, vm, paused=True)
            return joined(port, host, agent.vifs(port.id)[0])
    raise ConflictError(
        f"port {port.id} is bound to {port.host}, and has no binding to {host}",
        hint=f"fakevm migrate {host} {port.id}",
    )


@contextmanager
def _undone_on_failure() -> Iterator[ExitStack]:
    """Give a stack for the undo of each act, run in full if the block fails."""
    with ExitStack() as stack:
        try:
            yield stack
        except BaseException as error:
            with deferred(forget=True):
                _undo(stack, error)
            raise
        stack.pop_all()


def _undo(stack: ExitStack, error: BaseException) -> None:
    try:
        stack.close()
    except FakevmError as failure:
        error.add_note(f"and not all could be undone: {failure}")
