"""What a router does with a packet that is a namespace of a host."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fakevm.backends.packet import Packet
from fakevm.clients.process import ExitError
from fakevm.reach.topology import RouterPort, Topology
from fakevm.trace import ends
from fakevm.trace.account import Account
from fakevm.trace.ends import End, Route
from fakevm.trace.hosts import Hosts
from fakevm.trace.links import Place
from fakevm.trace.values import Ended

# Where a router's namespace $1 leads a packet from $3 to $4 that comes in by $2.
_DOWN = 9
_ROUTE = f"""
up=$(ip -netns "$1" -oneline link show dev "$2" up) || exit
[ "$up" ] || exit {_DOWN}
exec ip -netns "$1" -json route get "$4" from "$3" iif "$2"
"""


@dataclass(frozen=True, kw_only=True)
class Led:
    """A packet behind a router."""

    packet: Packet
    place: Place
    # The router that it comes to next; None: it goes to the target.
    router: RouterPort | None


def called(topology: Topology, port: RouterPort) -> str:
    """Return what a router is called."""
    names = {one.id: one.name for one in topology.routers}
    return f"router {names.get(port.router_id) or port.router_id}"


def through(
    topology: Topology,
    router: RouterPort,
    packet: Packet,
    target: End,
    *,
    hosts: Hosts,
    account: Account,
) -> Led:
    """Return a packet behind a router that it has come to by this port."""
    name = called(topology, router)
    here = hosts.switch(router.host)
    device = here.of_port(router.port_id)
    assert device is not None
    way = _route(router, name, packet, device.name, hosts)
    if way is None:
        raise Ended(f"dropped on {router.host} by {name}: it has no route to {packet.target}")
    ports = [port for port in topology.router_ports if port.router_id == router.router_id]
    out = ends.router_port_of(ports, way.device)
    if out is None or out.gateway:
        raise Ended(f"not followed further: {name} sends it out by {way.device}, to the outside")
    next_hop = way.gateway or packet.target
    beyond = ends.router_port_at(topology, out.network_id, next_hop)
    if beyond is None and not (
        next_hop == packet.target and target.nic.network_id == out.network_id
    ):
        raise Ended(f"lost: {name} sends it to {next_hop}, where no port of Neutron's is")
    leaving = here.of_port(out.port_id)
    if leaving is None:
        raise Ended(f"lost: {router.host} has no {way.device} of {name}")
    account.tell(router.host, name, f"in by {device.name}, out by {way.device} to {next_hop}")
    return Led(
        packet=replace(
            packet,
            source_mac=out.mac_address,
            target_mac=beyond.mac_address if beyond else target.port.mac_address,
            ttl=packet.ttl - 1,
        ),
        place=Place(host=router.host, bridge=leaving.bridge, through=f"in_port={leaving.name}"),
        router=beyond,
    )


def _route(
    router: RouterPort, name: str, packet: Packet, device: str, hosts: Hosts
) -> Route | None:
    netns = f"qrouter-{router.router_id}"
    argv = ("sh", "-c", _ROUTE, "-", netns, device, packet.source, packet.target)
    try:
        return ends.route(hosts.in_service(router.host, *argv))
    except ExitError as error:
        if error.status == _DOWN:
            raise Ended(f"dropped on {router.host} by {name}: {device} is down") from error
        if "namespace" in error.output:
            raise Ended(f"lost: {router.host} has no namespace of {name}") from error
        return None
