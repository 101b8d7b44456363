"""What is to be done for a VIF: from what should be to the steps that lead there."""

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fakevm.errors import ConflictError
from fakevm.model import FixedIp, Vif
from fakevm_agent.kernel.ip import Route
from fakevm_agent.kernel.netlink import Link
from fakevm_agent.ovs.interface import Interface
from fakevm_agent.plans.steps import (
    Connect,
    MakeNetns,
    MakeNic,
    MissDevice,
    PlugPort,
    Remember,
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
from fakevm_agent.vif.names import bridge_name

# Ways to come by an address for which something asks, or listens, in the VM.
CLIENTS = ("dhcp", "dhcpv6", "slaac")

# The metric of the first NIC's default route; later NICs' are worse.
_METRIC = 100


@dataclass(frozen=True, kw_only=True)
class Present:
    """What this host has of one VIF."""

    netns: bool = False
    # All that are in the VM, of whatever VIF.
    nics: frozenset[str] = frozenset()
    device: Link | None = None
    nic: Link | None = None
    addresses: frozenset[str] = frozenset()
    # Whether all is there that its driver has between the device and who wires it.
    connected: bool = True
    interface: Interface | None = None


def plan(wanted: Record, present: Present, *, port_name: str) -> list[Step]:
    """Return the steps from what is there to what should be; none where all is so already.

    `port_name` is what the VIF's interface in Open vSwitch, or its device, is to be called.
    """
    vif = wanted.vif
    owner = Owner.of(present.device) if present.device else None
    if owner and owner.instance_id != wanted.vm.instance_id:
        raise ConflictError(
            f"port {vif.port_id} is plugged into VM {owner.instance_id}, "
            f"not {wanted.vm.instance_id}",
            hint=f"fakevm unplug {vif.port_id}",
        )
    if present.device and present.device.kind != "veth":
        raise ConflictError(
            f"this host has a device {vif.device} that is not the agent's",
            hint=f"ip link del {vif.device}",
        )
    whole = present.netns and owner is not None and present.nic is not None
    if (interface := present.interface) and (
        interface.name != port_name or _must_be_plugged_anew(wanted, interface, whole=whole)
    ):
        # os-vif's unplug takes the device along.
        bare = Present(netns=present.netns, nics=present.nics)
        anew = plan(wanted, bare, port_name=port_name)
        unplug = UnplugPort(interface.record or wanted, interface)
        return [unplug, RemoveDevice(), *anew]
    static = {} if wanted.paused else static_addresses(vif)
    routes = () if wanted.paused else default_routes(wanted.nic, static)
    steps: list[Step] = []
    if not present.netns:
        steps.append(MakeNetns())
    if not whole:
        if present.device:
            steps.append(RemoveDevice())
        steps += [MakeNic(), StartNic()]
        if static:
            steps.append(SetAddresses(tuple(static), (), routes))
    else:
        assert present.nic is not None
        if (present.nic.mac_address, present.nic.mtu) != (vif.mac_address, vif.mtu):
            steps.append(SetNic(vif.mac_address, vif.mtu))
        before = present.interface.record if present.interface else None
        # Without a record, since the L2 agent took the port away, the NIC itself says how it was.
        if before.paused != wanted.paused if before else present.nic.up == wanted.paused:
            steps.append(SetState(up=not wanted.paused))
        left = _left_by_clients(before.vif, vif) if before else set()
        if left:
            steps.append(StopClients())
        stale = {value for value in present.addresses if value.partition("/")[0] in left}
        add = tuple(value for value in static if value not in present.addresses - stale)
        remove = tuple(
            value
            for value in (*sorted(stale), *(static_addresses(before.vif) if before else {}))
            if value in stale or (value in present.addresses and value not in static)
        )
        if add or remove:
            steps.append(SetAddresses(add, remove, routes))
    return steps + _port_steps(wanted, present, whole=whole)


def _left_by_clients(before: Vif, wanted: Vif) -> set[str]:
    """Return the addresses that a client brought, and that are to come in another way, or not."""
    ways = {fixed.ip_address: fixed.method for fixed in wanted.fixed_ips}
    return {
        str(ipaddress.ip_address(fixed.ip_address))
        for fixed in before.fixed_ips
        if fixed.method in CLIENTS and ways.get(fixed.ip_address) != fixed.method
    }


def with_late_device(steps: Sequence[Step]) -> list[Step]:
    """Return the steps so that the port is plugged before its device is made.

    So it was where libvirt made the tap, and os-vif had plugged the port before (create_tap).
    """
    if PlugPort(new=True) not in steps or MakeNic() not in steps:
        return list(steps)
    early = [step for step in steps if isinstance(step, UnplugPort | MakeNetns | RemoveDevice)]
    late = [step for step in steps if step not in early and step != PlugPort(new=True)]
    return [*early, PlugPort(new=True), MissDevice(), *late]


def _must_be_plugged_anew(wanted: Record, interface: Interface, *, whole: bool) -> bool:
    """Tell whether the port is another one, or one that a new device does no good.

    The userspace datapath does not see that a device which it has open went and came.
    """
    bridge = bridge_name(wanted.vif, interface.bridge)
    moved = interface.in_open_vswitch and interface.bridge != bridge
    other = bool(interface.record and interface.record.vif.vif_type != wanted.vif.vif_type)
    has_open = interface.ofport is not None and interface.ofport > 0
    return moved or other or (has_open and not whole)


def _port_steps(wanted: Record, present: Present, *, whole: bool) -> list[Step]:
    steps: list[Step] = []
    interface = present.interface
    # What Open vSwitch does not keep is gone with the device.
    lost = interface is not None and not interface.in_open_vswitch and not whole
    if interface is None or not present.connected or lost:
        steps.append(PlugPort(new=interface is None))
    if not present.connected or not whole:
        steps.append(Connect())
    if interface is None or interface.record != wanted:
        steps.append(Remember())
    return steps


def static_addresses(vif: Vif) -> dict[str, FixedIp]:
    """Return the addresses that the agent sets, with prefix length, in the kernel's spelling."""
    return {
        str(ipaddress.ip_interface(f"{fixed.ip_address}/{fixed.prefix_len}")): fixed
        for fixed in vif.fixed_ips
        if fixed.method == "static"
    }


def default_routes(nic: str, addresses: Mapping[str, FixedIp]) -> tuple[Route, ...]:
    """Return a default route for each gateway of a NIC's addresses (with prefix length)."""
    metric = _METRIC + int(nic.removeprefix("eth"))
    routes = {
        fixed.gateway_ip: Route(
            gateway=fixed.gateway_ip,
            metric=metric,
            onlink=ipaddress.ip_address(fixed.gateway_ip)
            not in ipaddress.ip_interface(value).network,
        )
        for value, fixed in addresses.items()
        if fixed.gateway_ip
    }
    return tuple(routes.values())


def free_nic(taken: Collection[str]) -> str:
    """Return the first of eth0, eth1, … that is not taken."""
    return next(name for n in range(len(taken) + 1) if (name := f"eth{n}") not in taken)
