"""Whether a VM should get an answer to a ping, by networks, routers and security groups: pure.

What nobody can tell of Neutron's objects alone is not judged: a way out by SNAT, static routes, a
VM with several ways, what DHCP may or may not say.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from fakevm.reach import rules, ways
from fakevm.reach.topology import Nic, Topology


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether an answer should come; None: that is not judged. With the reason, in words."""

    reaches: bool | None
    why: str


@dataclass(frozen=True, kw_only=True)
class End:
    """An address of a VM's."""

    nic: Nic
    address: str
    subnet_id: str
    # Of a trunk's subport, so that its VM alone knows whether it has it.
    perhaps: bool = False


def verdict(topology: Topology, source: str, target: Nic, address: str) -> Verdict:
    """Return whether the VM `source` (an instance's id) should reach an address of a NIC."""
    if not target.up:
        return Verdict(reaches=False, why="the port is administratively down")
    there = End(nic=target, address=address, subnet_id=target.addresses[address])
    version = ipaddress.ip_address(address).version
    mine, theirs = (list(_ends(topology, vm, version)) for vm in (source, target.instance_id))
    here = next((e for e in mine if _is_up(e) and e.subnet_id == there.subnet_id), None)
    if here and ways.nobody_advertises(topology, there.subnet_id):
        return Verdict(reaches=None, why="nobody advertises on its subnet")
    if here is None:
        found = _routed(topology, mine, theirs, there)
        if isinstance(found, Verdict):
            return found
        here = found
    refused = rules.echo_refused(topology, here.nic, here.address, target, address)
    return Verdict(reaches=not refused, why=refused)


def _routed(topology: Topology, mine: list[End], theirs: list[End], there: End) -> End | Verdict:
    """Return the end that a VM sends from, where routers lead to another subnet and back."""
    leading = []
    for end in mine:
        way = ways.way(topology, end.subnet_id, there.subnet_id, there.address)
        if end.nic.up and way.leads is not False:
            leading.append((end, way))
    if not leading:
        return Verdict(reaches=False, why="no router is between their networks")
    if any(len({end.nic.port_id for end in ends}) > 1 for ends in (mine, theirs)):
        return Verdict(reaches=None, why="a VM with several NICs, or a trunk, has several ways")
    here, _ = leading[0]
    back = ways.way(topology, there.subnet_id, here.subnet_id, here.address)
    for way in (*(way for _, way in leading), back):
        if way.leads is None:
            return Verdict(reaches=None, why=way.why)
    if not back.leads:
        return Verdict(reaches=False, why="no router leads the answer back")
    return here


def _ends(topology: Topology, instance_id: str, version: int) -> Iterator[End]:
    """Yield all addresses of a version that a VM has, or may have."""
    for nic in topology.nics:
        if nic.instance_id == instance_id:
            for one in (nic, *nic.subports):
                for address, subnet_id in one.addresses.items():
                    if ipaddress.ip_address(address).version == version:
                        yield End(
                            nic=one, address=address, subnet_id=subnet_id, perhaps=one is not nic
                        )


def _is_up(end: End) -> bool:
    return end.nic.up and not end.perhaps
