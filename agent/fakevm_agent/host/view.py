"""What this host has of VMs and VIFs, read from OVSDB and the kernel."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fakevm.model import PluggedVif
from fakevm_agent.kernel import ip, netns
from fakevm_agent.kernel.netlink import Link
from fakevm_agent.ovs.interface import Interface, find_interface
from fakevm_agent.records import Owner, Record, owner_of
from fakevm_agent.vif.names import tap_name

_INSTANCE = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What is inside a VM: its NICs, and their addresses with prefix length."""

    exists: bool = False
    nics: Mapping[str, Link] = field(default_factory=dict)
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def instances() -> list[str]:
    """Return the VMs; Neutron's own namespaces have a prefix before the UUID."""
    return [name for name in netns.names() if _INSTANCE.fullmatch(name)]


def owners(links: Mapping[str, Link]) -> dict[str, Owner]:
    """Return the owners of VIFs' devices by port."""
    found = filter(None, map(Owner.of, links.values()))
    return {owner.port_id: owner for owner in found}


def records(interfaces: Mapping[str, Interface]) -> dict[str, Record]:
    """Return the records in OVSDB by port."""
    found = [interface.record for interface in interfaces.values() if interface.record]
    return {record.vif.port_id: record for record in found}


def look_inside(instance_id: str) -> Inside:
    """Return what is inside a VM; nothing where there is none."""
    if not netns.exists(instance_id):
        return Inside()
    with netns.entered(instance_id):
        nics, addresses = ip.links_and_addresses()
    return Inside(
        exists=True,
        nics=nics,
        addresses={
            nic: tuple(str(address.value) for address in found if not address.link_local)
            for nic, found in addresses.items()
        },
    )


def describe_all(
    links: Mapping[str, Link],
    interfaces: Mapping[str, Interface],
    *,
    port_names: Callable[[str], Iterable[str]],
) -> list[PluggedVif]:
    """Return all VIFs that the links or the interfaces tell of, by VM and NIC.

    `port_names`: what a port's interface may be called.
    """
    by_device, by_record = owners(links), records(interfaces)
    inside: dict[str, Inside] = {}
    found = []
    for port_id in by_device.keys() | by_record.keys():
        owner = by_device.get(port_id) or owner_of(by_record[port_id])
        if owner.instance_id not in inside:
            inside[owner.instance_id] = look_inside(owner.instance_id)
        found.append(
            describe(
                owner,
                device=links.get(tap_name(port_id)),
                interface=find_interface(interfaces, port_id, names=port_names(port_id)),
                inside=inside[owner.instance_id],
            )
        )
    return sorted(found, key=lambda vif: (vif.instance_id, vif.nic))


def describe(
    owner: Owner, *, device: Link | None, interface: Interface | None, inside: Inside
) -> PluggedVif:
    """Return a VIF as it is, with what is wrong with it."""
    record = interface.record if interface else None
    nic = inside.nics.get(owner.nic)
    if not inside.exists:
        error = f"the VM's netns {owner.instance_id} is missing"
    elif device is None or nic is None:
        error = f"device {tap_name(owner.port_id)} is missing"
    elif interface is None:
        error = f"Open vSwitch has no port for device {device.name}"
    else:
        error = interface.error
    return PluggedVif(
        port_id=owner.port_id,
        instance_id=owner.instance_id,
        vm_name=record.vm.name if record else owner.vm_name,
        netns=owner.instance_id,
        nic=owner.nic,
        device=tap_name(owner.port_id),
        mac_address=nic.mac_address if nic else record.vif.mac_address if record else "",
        mtu=nic.mtu if nic else record.vif.mtu if record else 0,
        ofport=interface.ofport if interface and device else None,
        in_open_vswitch=interface is None or interface.in_open_vswitch,
        vlan_tag=interface.tag if interface else None,
        error=error,
        addresses=inside.addresses.get(owner.nic, ()),
        fixed_ips=record.vif.fixed_ips if record else (),
        configured=record.configured if record else False,
        paused=record.paused if record else False,
        # Without a record nobody knows; what is unbound can be deleted.
        preserve_on_delete=record.vif.preserve_on_delete if record else True,
    )
