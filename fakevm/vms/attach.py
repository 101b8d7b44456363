"""A VM that runs gets a port that a user made, or gives one up."""

from __future__ import annotations

from dataclasses import dataclass

from fakevm.clients.parts import Parts
from fakevm.errors import ConflictError
from fakevm.inventory import overview, vifs
from fakevm.inventory.addresses import Addressing
from fakevm.inventory.rows import Row
from fakevm.neutron.values import Port
from fakevm.protocol.interrupt import deferred
from fakevm.protocol.journal import Journal, note
from fakevm.vms import given
from fakevm.vms.boot import unbind
from fakevm.vms.ports import alone, give
from fakevm.vms.requests import Plugging


@dataclass(frozen=True, kw_only=True)
class DetachedPort:
    """A port that a VM gave up: unbound if the VM was given it, else deleted."""

    port_id: str
    deleted: bool


def attach(
    lab: Parts,
    port: Port,
    instance: str,
    *,
    host: str | None,
    addressing: Addressing,
    plugging: Plugging,
    timeout_s: float,
) -> Row:
    """Give a port to a VM, which gets a NIC for it, or boots with it if it does not run.

    nova: ComputeManager.attach_interface, which waits for no event.
    """
    vm = vifs.vm_of(instance)
    wanted = lab.host(host) if host else None
    network = lab.neutron.network_of(port)
    with alone(lab, vm, timeout_s):
        # Who was waited for may have changed it.
        port = lab.neutron.port(port.id)
        if port.device_id not in ("", vm.instance_id):
            raise ConflictError(
                f"port {port.id} belongs to VM {port.device_id}", hint=f"fakevm detach {port.id}"
            )
        if port.bound:
            raise ConflictError(
                f"port {port.id} is bound to {port.host} already", hint=f"fakevm plug {port.id}"
            )
        give(lab, port, network, vm, wanted, addressing, plugging, timeout_s)
    return overview.row(lab, lab.neutron.port(port.id))


def detach(lab: Parts, port: Port, *, keep: bool = False, timeout_s: float) -> DetachedPort:
    """Take a port from its VM, which goes on running: unplug it, then unbind or delete it.

    keep: it is unbound, also if it was made for the VM.
    nova: ComputeManager.detach_interface, neutron.API.deallocate_port_for_instance.
    """
    vm = vifs.vm_of_port(port)
    with alone(lab, vm, timeout_s):
        port = lab.neutron.port(port.id)
        if not port.device_id:
            raise ConflictError(f"port {port.id} is no VM's", hint="fakevm list")
        if not port.host:
            raise ConflictError(
                f"port {port.id} is on no host", hint=f"fakevm unshelve {port.device_id}"
            )
        agent = lab.agent(port.host)
        here = [one for one in agent.vifs() if one.instance_id == port.device_id]
        server = given.noted(lab, lab.server(port.device_id), here, host=port.host)
        unbinds = keep or given.is_given(server, port.id)
        if {one.port_id for one in here} == {port.id}:
            lab.say(f"it was the last NIC of VM {here[0].vm_name}, which ends with it")
        journal = Journal(tell=note(lab.events, port.device_id))
        with deferred():
            with journal.step("unplug", agent.host, source="LibvirtDriver.detach_interface"):
                agent.unplug(port.id)
            source = "neutron.API.deallocate_port_for_instance"
            with journal.step("unbind" if unbinds else "delete", agent.host, source=source):
                if unbinds:
                    unbind(lab, port)
                else:
                    lab.neutron.delete_port(port.id)
    return DetachedPort(port_id=port.id, deleted=not unbinds)
