"""Whether a VM should get an answer to a ping, by networks, routers and security groups: pure.

What nobody can tell of Neutron's objects alone is not judged: a way out by SNAT, static routes, a
VM with several ways.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from fakevm.reach.rules import Traffic, allowing
from fakevm.reach.topology import Nic, Router, Subnet, Topology

# Type and code of a request and of an answer (RFC 792, RFC 4443).
_ECHO = {4: ((8, 0), (0, 0)), 6: ((128, 0), (129, 0))}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether an answer should come; None: that is not judged. With the reason, in words."""

    reaches: bool | None
    why: str


def verdict(topology: Topology, source: str, target: Nic, address: str) -> Verdict:
    """Return whether the VM `source` (an instance's id) should reach an address of a NIC."""
    if not target.up:
        return Verdict(reaches=False, why="the port is administratively down")
    nics = [nic for nic in topology.nics if nic.instance_id == source and nic.up]
    subnet_id = target.addresses[address]
    version = ipaddress.ip_address(address).version
    for nic in nics:
        for own, own_subnet in nic.addresses.items():
            if own_subnet == subnet_id:
                return _filtered(topology, nic, own, target, address)
    ways = [
        (nic, own, router)
        for nic in nics
        for own, own_subnet in nic.addresses.items()
        if ipaddress.ip_address(own).version == version
        for router in _routers(topology, own_subnet, address)
    ]
    if any(way.routes for *_, way in ways):
        return Verdict(reaches=None, why="a router on the way has static routes")
    there = [
        (nic, own, router)
        for nic, own, router in ways
        if router in _routers(topology, subnet_id, own)
    ]
    if not there:
        if any(router.external == target.network_id for *_, router in ways):
            return Verdict(reaches=None, why="by a router's gateway, with SNAT or without")
        return Verdict(reaches=False, why="no router is between their networks")
    others = {one.instance_id for one in topology.nics if one.port_id != target.port_id}
    if len(nics) > 1 or target.instance_id in others:
        return Verdict(reaches=None, why="a VM with several NICs has several ways")
    nic, own, _ = there[0]
    return _filtered(topology, nic, own, target, address)


def _routers(topology: Topology, subnet_id: str, address: str) -> Iterator[Router]:
    """Yield the routers that a VM on a subnet sends to what is for an address elsewhere."""
    subnet = topology.subnets.get(subnet_id)
    if subnet is None:
        # Deleted while the lists were read.
        return
    hop = _next_hop(subnet, address)
    for router in topology.routers:
        if router.up and hop and router.interfaces.get(subnet_id) == hop:
            yield router


def _next_hop(subnet: Subnet, address: str) -> str | None:
    """Return to whom a VM on a subnet sends what is for an address elsewhere; None: to nobody."""
    to = ipaddress.ip_address(address)
    routes = [(ipaddress.ip_network(one), hop) for one, hop in subnet.host_routes.items()]
    fitting = [(network.prefixlen, hop) for network, hop in routes if to in network]
    length, hop = max(fitting, default=(0, None))
    # Of two default routes a VM is given the gateway (neutron/agent/linux/dhcp.py).
    return hop if length else subnet.gateway_ip or hop


def _filtered(topology: Topology, nic: Nic, own: str, target: Nic, address: str) -> Verdict:
    """Return what security groups say to a way that is there."""
    if not topology.filtered:
        return Verdict(reaches=True, why="")
    request, answer = (
        Traffic(protocol="icmp", kind=kind) for kind in _ECHO[ipaddress.ip_address(address).version]
    )
    asked = (
        ("egress", nic, address, target, request),
        ("ingress", target, own, nic, request),
    )
    # Of stateful groups the answer belongs to the request.
    answered = [
        one
        for one in (
            ("egress", target, own, nic, answer),
            ("ingress", nic, address, target, answer),
        )
        if one[1].groups and one[1].groups <= topology.stateless
    ]
    for direction, here, remote, peer, traffic in (*asked, *answered):
        if here.port_security and not any(
            allowing(topology, direction, here, remote=remote, peer=peer, traffic=traffic)
        ):
            what = "the request" if traffic == request else "the answer"
            return Verdict(
                reaches=False,
                why=f"no security group of port {here.port_id} has a rule for {what} ({direction})",
            )
    return Verdict(reaches=True, why="")
