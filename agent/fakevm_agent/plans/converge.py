"""A VIF is made as it should be: what is there is looked at, planned and carried out."""

from contextlib import ExitStack
from dataclasses import replace

from fakevm.model import Vif, Vm
from fakevm_agent.guest import addressing
from fakevm_agent.host import view
from fakevm_agent.host.parts import Host
from fakevm_agent.kernel import netlink
from fakevm_agent.plans.execute import execute
from fakevm_agent.plans.plan import Present, free_nic, plan, with_late_device
from fakevm_agent.plans.steps import (
    MakeNetns,
    MakeNic,
    RemoveDevice,
    SetAddresses,
    SetNic,
    SetState,
    StartNic,
    Step,
    StopClients,
    UnplugPort,
)
from fakevm_agent.records import Owner, Record

# What a step of these does can collide with other VIFs of the same VM.
_INSIDE = (
    *(UnplugPort, MakeNetns, RemoveDevice, MakeNic),
    *(StartNic, SetNic, SetState, StopClients, SetAddresses),
)


def converge(
    host: Host, wanted: Record, undo: ExitStack, *, late_tap: bool = False, nic: str = ""
) -> list[Step]:
    """Plan and execute; `wanted` without a NIC gets the one that it had, or `nic`, or the next.

    The port's steps come last and do not hold the VM: they mostly wait for ovs-vswitchd. To do
    them beside the others gains nothing, since all of it is Python's, one thread at a time.
    With `late_tap` it is all done while the VM is held, since its device has no NIC yet.
    """
    vm = wanted.vm
    with host.vms.held(vm.instance_id):
        present = _present(host, wanted.vif, vm)
        wanted = _named(host, wanted, present, nic)
        steps = plan(wanted, present, port_name=host.drivers.port_name(wanted.vif))
        # Who else wires ports has no port without a device.
        late_tap = late_tap and host.drivers.of(wanted.vif).in_open_vswitch
        if late_tap:
            steps = with_late_device(steps)
        inside = [step for step in steps if late_tap or isinstance(step, _INSIDE)]
        for step in inside:
            execute(host, step, wanted, undo)
    for step in steps:
        if step not in inside:
            execute(host, step, wanted, undo)
    if MakeNic() in steps and wanted.configured and not wanted.paused:
        addressing.start(wanted, host.guest(vm.instance_id), host.spawner)
    return steps


def wait_until_opened(host: Host, vif: Vif) -> None:
    """Wait until ovs-vswitchd has opened the port's device, if it has one, which is up then.

    Where the port is there before its device, ovs-vswitchd opens the device when it comes, and
    later writes back the flags that it read then, with IFF_PROMISC (Open vSwitch:
    netdev_turn_flags_on): a device that was set up in between is down again.
    """
    if not host.drivers.of(vif).in_open_vswitch:
        return
    name = host.drivers.port_name(vif)
    host.ovsdb.wait_until_opened(name, timeout=host.ofport_timeout)
    link = netlink.find_links(name).get(name)
    if link and not link.up:
        netlink.set_link(name, up=True)


def _present(host: Host, vif: Vif, vm: Vm) -> Present:
    driver = host.drivers.of(vif)
    links = netlink.find_links(vif.device, *driver.devices(vif.port_id))
    device = links.get(vif.device)
    owner = Owner.of(device) if device else None
    inside = view.look_inside(vm.instance_id)
    nic = inside.nics.get(owner.nic) if owner else None
    return Present(
        netns=inside.exists,
        nics=frozenset(inside.nics),
        device=device,
        nic=nic,
        addresses=frozenset(inside.addresses.get(nic.name, ()) if nic else ()),
        connected=driver.is_connected(vif, links),
        interface=host.ovsdb.find(vif.port_id),
    )


def _named(host: Host, wanted: Record, present: Present, nic: str) -> Record:
    """Return the record with its NIC: the one that it has or had, or `nic`, or the next."""
    if wanted.nic:
        return wanted
    kept = present.interface.record if present.interface else None
    owner = Owner.of(present.device) if present.device else None
    there = owner or kept
    name = there.nic if there else _free_nic(host, wanted.vm, present, nic)
    return replace(wanted, nic=name, configured=bool(kept and kept.configured))


def _free_nic(host: Host, vm: Vm, present: Present, nic: str) -> str:
    # After a restart of the host some of its NICs may stand in OVSDB only.
    taken = present.nics | {record.nic for record in host.ovsdb.records_of(vm.instance_id)}
    return nic if nic and nic not in taken else free_nic(taken)
