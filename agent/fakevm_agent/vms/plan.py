"""What is to be done for a VIF: from what should be to the steps that lead there."""

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fakevm.errors import ConflictError
from fakevm.model import NIC_NAME_LEN, FixedIp, Vif, Vm
from fakevm_agent.kernel.ip import Route
from fakevm_agent.kernel.netlink import Link

_MARK = "fakevm"
# IFALIASZ less the final zero.
_ALIAS_MAX = 255
# The metric of the first NIC's default route; later NICs' are worse.
_METRIC = 100


@dataclass(frozen=True, kw_only=True)
class Record:
    """What OVSDB keeps of a VIF, so that a host that restarts can make it again."""

    vif: Vif
    vm: Vm
    nic: str
    configured: bool = False
    # The guest is paused, as on the destination of a live migration: its NIC is down and has no
    # address, since the same VM still talks on its source.
    paused: bool = False


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose a device is, as its alias says: what is left to know when the OVS port is gone."""

    port_id: str
    instance_id: str
    nic: str
    vm_name: str = ""

    def alias(self) -> str:
        """Return the device's alias, cut to what the kernel takes."""
        words = [_MARK, self.port_id, self.instance_id, self.nic, self.vm_name]
        return " ".join(words).encode()[:_ALIAS_MAX].decode(errors="ignore")

    @classmethod
    def of(cls, link: Link) -> "Owner | None":
        """Return the owner of a device, or None where it is not the agent's."""
        words = link.alias.split(" ", 4)
        if len(words) < 4 or words[0] != _MARK:
            return None
        return cls(
            port_id=words[1],
            instance_id=words[2],
            nic=words[3],
            vm_name=words[4] if len(words) > 4 else "",
        )


@dataclass(frozen=True, kw_only=True)
class Interface:
    """An interface of Open vSwitch."""

    name: str
    bridge: str
    ofport: int | None
    error: str
    tag: int | None
    iface_id: str
    # None: os-vif made it, but the agent's record is not (yet) there.
    record: Record | None


@dataclass(frozen=True, kw_only=True)
class Present:
    """What this host has of one VIF."""

    netns: bool = False
    # All that are in the VM, of whatever VIF.
    nics: frozenset[str] = frozenset()
    device: Link | None = None
    nic: Link | None = None
    addresses: frozenset[str] = frozenset()
    bridged: bool = False
    interface: Interface | None = None


@dataclass(frozen=True)
class MakeNetns:
    """Make the VM's netns and folder."""


@dataclass(frozen=True)
class RemoveDevice:
    """Remove what is left of a device that was made by half, or in a netns that is gone."""


@dataclass(frozen=True)
class MakeNic:
    """Make the veth pair: the device here, the NIC in the VM."""


@dataclass(frozen=True)
class StartNic:
    """Prepare the new NIC inside, and set it up if the VM is not paused."""


@dataclass(frozen=True)
class SetNic:
    """Give the NIC its MAC and MTU."""

    mac_address: str
    mtu: int


@dataclass(frozen=True)
class SetState:
    """Set the NIC up or down: the guest runs, or is paused."""

    up: bool


@dataclass(frozen=True)
class SetAddresses:
    """Give the NIC its static addresses and default routes."""

    add: tuple[str, ...]
    remove: tuple[str, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class UnplugPort:
    """Take the port from the bridge that it was plugged into before."""

    record: Record


@dataclass(frozen=True)
class PlugPort:
    """Plug the device into its bridge; not `new`: the port is there, what is before it is not."""

    new: bool


@dataclass(frozen=True)
class MissDevice:
    """Wait until ovs-vswitchd has found no device for the port."""


@dataclass(frozen=True)
class Bridge:
    """Make the device a port of the VIF's own Linux bridge (hybrid plug)."""


@dataclass(frozen=True)
class Remember:
    """Keep the record in OVSDB."""


Step = (
    MakeNetns
    | RemoveDevice
    | MakeNic
    | StartNic
    | SetNic
    | SetState
    | SetAddresses
    | UnplugPort
    | PlugPort
    | MissDevice
    | Bridge
    | Remember
)


def plan(wanted: Record, present: Present) -> list[Step]:
    """Return the steps from what is there to what should be; none where all is so already."""
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
    if present.interface and _must_be_plugged_anew(wanted, present.interface, whole=whole):
        # os-vif's unplug takes the device along.
        bare = Present(netns=present.netns, nics=present.nics)
        record = present.interface.record or wanted
        return [UnplugPort(record), RemoveDevice(), *plan(wanted, bare)]
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
        add = tuple(value for value in static if value not in present.addresses)
        remove = tuple(
            value
            for value in (static_addresses(before.vif) if before else {})
            if value in present.addresses and value not in static
        )
        if add or remove:
            steps.append(SetAddresses(add, remove, routes))
    return steps + _port_steps(wanted, present, whole=whole)


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
    moved = interface.bridge != bridge_name(wanted.vif, interface.bridge)
    renamed = interface.name != port_name(wanted.vif)
    has_open = interface.ofport is not None and interface.ofport > 0
    return moved or renamed or (has_open and not whole)


def _port_steps(wanted: Record, present: Present, *, whole: bool) -> list[Step]:
    steps: list[Step] = []
    interface = present.interface
    # A hybrid VIF's devices are gone after a restart of the host, and os-vif makes them again.
    lost = is_hybrid(wanted.vif) and not present.bridged
    if interface is None or lost:
        steps.append(PlugPort(new=interface is None))
    if is_hybrid(wanted.vif) and (lost or not whole):
        steps.append(Bridge())
    if interface is None or interface.record != wanted:
        steps.append(Remember())
    return steps


def is_hybrid(vif: Vif) -> bool:
    """Tell whether a Linux bridge stands between the device and Open vSwitch."""
    return bool(vif.vif_details.get("ovs_hybrid_plug", False))


def bridge_name(vif: Vif, default: str) -> str:
    """Return the bridge that the VIF is plugged into, cut as Nova cuts it."""
    return str(vif.vif_details.get("bridge_name") or default)[:NIC_NAME_LEN]


def port_name(vif: Vif) -> str:
    """Return the name of the interface in Open vSwitch."""
    return hybrid_name("qvo", vif.port_id) if is_hybrid(vif) else vif.device


def port_names(port_id: str) -> tuple[str, str]:
    """Return the names that a port's interface may have: plain and hybrid."""
    return hybrid_name("tap", port_id), hybrid_name("qvo", port_id)


def hybrid_name(prefix: str, port_id: str) -> str:
    """Return the name of one of a port's devices, of which a hybrid plug has four."""
    return f"{prefix}{port_id}"[:NIC_NAME_LEN]


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


def find_interface(interfaces: Mapping[str, Interface], port_id: str) -> Interface | None:
    """Return the interface of a port, plain or hybrid."""
    for name in port_names(port_id):
        found = interfaces.get(name)
        if found and found.iface_id == port_id:
            return found
    return None
