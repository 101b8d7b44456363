"""What is left in a host of ports that are gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fakevm_agent.kernel.netlink import Link
from fakevm_agent.ovs.interface import Interface
from fakevm_agent.records import Owner

Kind = Literal["netns", "device", "interface", "record", "process", "bridge"]


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something that no port needs any more."""

    kind: Kind
    name: str
    port_id: str | None


def left_over(
    keep: frozenset[str],
    *,
    links: Mapping[str, Link],
    strays: Sequence[Link],
    interfaces: Mapping[str, Interface],
    owners: Mapping[str, Owner],
    instances: Mapping[str, Mapping[int, str]],
) -> list[Leftover]:
    """Return what is left of ports that are not in `keep`, the outermost first.

    `strays` are what VIF drivers made; `owners` are by port, from devices and from OVSDB;
    `instances` are the VMs with their processes.
    A device that nothing says is ours is not: a DHCP agent's may have the same kind of name.
    """
    found = [
        Leftover(
            kind="interface" if interface.in_open_vswitch else "record",
            name=name,
            port_id=interface.iface_id,
        )
        for name, interface in sorted(interfaces.items())
        if interface.iface_id not in keep
    ]
    for name, link in sorted(links.items()):
        owner = Owner.of(link)
        if owner and owner.port_id not in keep:
            found.append(Leftover(kind="device", name=name, port_id=owner.port_id))
    found += [
        Leftover(kind="bridge" if link.kind == "bridge" else "device", name=link.name, port_id=None)
        for link in strays
    ]
    used = {owner.instance_id for port_id, owner in owners.items() if port_id in keep}
    for instance_id, running in sorted(instances.items()):
        if instance_id not in used:
            for pid, command in sorted(running.items()):
                found.append(Leftover(kind="process", name=f"{command} ({pid})", port_id=None))
            found.append(Leftover(kind="netns", name=instance_id, port_id=None))
    return found
