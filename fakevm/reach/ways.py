"""Whether routers lead a packet from a subnet to an address on another one: pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from fakevm.reach.topology import Router, Subnet, Topology


@dataclass(frozen=True, kw_only=True)
class Way:
    """Whether there is one; None: nobody can tell. With the reason, in words."""

    leads: bool | None
    why: str = ""


_THERE = Way(leads=True)
_NONE = Way(leads=False, why="no router is between their networks")
_GONE = Way(leads=None, why="its subnet is gone")
_STATIC = Way(leads=None, why="a router on the way has static routes")
_OUTSIDE = Way(leads=None, why="by a router's gateway, with SNAT or without")
_BY_A_VM = Way(leads=None, why="by another VM, which may forward or not")
_BY_DHCP = Way(leads=None, why="subnets of one network: DHCP may tell of it, or not")


def way(topology: Topology, source: str, target: str, address: str) -> Way:
    """Return whether what a VM on a subnet sends comes to an address on a subnet."""
    if source == target:
        return _THERE
    here, there = topology.subnets.get(source), topology.subnets.get(target)
    if here is None or there is None:
        # Deleted while the lists were read.
        return _GONE
    found = _routed(topology, here, there, address)
    # DHCP agents tell of a network's other subnets as being on the link
    # (neutron/agent/linux/dhcp.py, _generate_opts_per_subnet), and who is static hears nothing.
    told = topology.dhcp_agents and here.dhcp and here.network_id == there.network_id
    return _BY_DHCP if told and not found.leads else found


def nobody_advertises(topology: Topology, subnet_id: str) -> bool:
    """Tell whether VMs lack the addresses that they would learn from a router of Neutron's."""
    subnet = topology.subnets.get(subnet_id)
    return bool(subnet and subnet.slaac) and not any(
        router.up and subnet_id in router.interfaces for router in topology.routers
    )


def _routed(topology: Topology, here: Subnet, there: Subnet, address: str) -> Way:
    hop = _next_hop(here, address)
    if hop is None:
        return _NONE
    for router in topology.routers:
        if router.up and router.interfaces.get(here.id) == hop:
            return _through(topology, router, there)
    for port in topology.router_ports:
        if port.gateway and port.network_id == here.network_id and hop in port.addresses:
            return _OUTSIDE
    if any(nic.network_id == here.network_id and hop in nic.addresses for nic in topology.nics):
        return _BY_A_VM
    return _NONE


def _through(topology: Topology, router: Router, there: Subnet) -> Way:
    """Return whether a router leads to a subnet."""
    if router.routes:
        return _STATIC
    if there.id in router.interfaces:
        return _THERE
    if router.external and (
        router.external == there.network_id or _leads_back_in(topology, router.external)
    ):
        return _OUTSIDE
    return _NONE


def _leads_back_in(topology: Topology, external: str) -> bool:
    """Tell whether the gateway of an external network is another router of Neutron's."""
    return any(
        router.up and subnet.gateway_ip and router.interfaces.get(subnet.id) == subnet.gateway_ip
        for subnet in topology.subnets.values()
        if subnet.network_id == external
        for router in topology.routers
    )


def _next_hop(subnet: Subnet, address: str) -> str | None:
    """Return to whom a VM on a subnet sends what is for an address elsewhere; None: to nobody."""
    to = ipaddress.ip_address(address)
    routes = [(ipaddress.ip_network(one), hop) for one, hop in subnet.host_routes.items()]
    fitting = [(network.prefixlen, hop) for network, hop in routes if to in network]
    length, hop = max(fitting, default=(0, None))
    # Of two default routes a VM is given the gateway (neutron/agent/linux/dhcp.py).
    return hop if length else subnet.gateway_ip or hop
