"""A VIF is plugged and unplugged."""

from contextlib import ExitStack

from fakevm.model import PluggedVif, Vif, Vm
from fakevm_agent import kernel
from fakevm_agent.guest import addressing
from fakevm_agent.host import overview, view
from fakevm_agent.host.parts import Host
from fakevm_agent.host.vm import remove_vm_if_empty
from fakevm_agent.kernel import netlink
from fakevm_agent.plans.converge import converge, wait_until_opened
from fakevm_agent.records import Record, owner_of
from fakevm_agent.vif.names import tap_name


def plug(
    host: Host, vif: Vif, vm: Vm, *, paused: bool = False, late_tap: bool = False, nic: str = ""
) -> tuple[PluggedVif, bool]:
    """Make the VIF as it should be; tell what it is then, and whether anything was done.

    A failure undoes what was made. Paused, the VM's NIC stays down and without addresses.
    With `late_tap` its device is made after the OVS port. A new NIC is called `nic` if that
    is free.
    """
    host.drivers.of(vif).check(vif)
    with host.ports.held(vif.port_id), ExitStack() as undo:
        host.ovsdb.check()
        wanted = Record(vif=vif, vm=vm, nic="", paused=paused)
        steps = converge(host, wanted, undo, late_tap=late_tap, nic=nic)
        wait_until_opened(host, vif)
        (plugged,) = overview.vifs(host, vif.port_id)
        undo.pop_all()
    return plugged, bool(steps)


def unplug(host: Host, port_id: str) -> bool:
    """Remove the VIF, with the VM if it was the last one; tell whether anything was there."""
    with host.ports.held(port_id):
        host.ovsdb.check()
        return unplug_held(host, port_id)


def unplug_held(host: Host, port_id: str) -> bool:
    """Unplug while the port's lock is held."""
    links = netlink.links()
    interface = host.ovsdb.find(port_id)
    record = interface.record if interface else None
    owner = view.owners(links).get(port_id) or (owner_of(record) if record else None)
    between = [name for name in host.drivers.devices(port_id) if name in links]
    if owner is None and interface is None and not between:
        return False
    if owner:
        host.announcer.stop(owner.instance_id)
        with host.vms.held(owner.instance_id):
            addressing.stop(owner.nic, host.guest(owner.instance_id))
            # First, as libvirt does when it destroys a guest; Nova then calls os-vif.
            kernel.devices.delete_link(tap_name(port_id))
    if interface:
        host.unplug_port(interface, record)
    # The L2 agent takes a port away by itself when its binding moves to another host, and the
    # record with it.
    for name in between:
        kernel.devices.delete_link(name)
    if owner:
        remove_vm_if_empty(host, owner.instance_id)
    return True
