"""Where a packet goes that has left a host: into another one, by a tunnel or by a wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from pathlib import Path

from fakevm.backends.openflow import Output, Traced, Tunnel
from fakevm.backends.packet import Packet
from fakevm.reach.topology import RouterPort
from fakevm.trace import switch
from fakevm.trace.account import Account
from fakevm.trace.hosts import Hosts
from fakevm.trace.switch import Switch
from fakevm.trace.values import Ended

BRIDGES_FILTERED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


@dataclass(frozen=True, kw_only=True)
class Aim:
    """Where a packet is to come out next: the target, or a router."""

    port_id: str
    host: str
    called: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a packet comes into a host: a bridge, and how, as ovs-fields(7) has it."""

    host: str
    bridge: str
    through: str


def beyond(
    here: Switch,
    traced: Traced,
    aim: Aim,
    packet: Packet,
    gateways: Mapping[str, str],
    *,
    hosts: Hosts,
    account: Account,
) -> tuple[Place, Packet]:
    """Return where a packet comes in that has left a host and is not at its aim, and as what.

    `gateways`: as of `gateways_of`, where routers are flows.
    """
    tunnels = {one.tunnel.remote: one.tunnel for one in traced.outputs if one.tunnel}
    if tunnels:
        there = _other_end(here, tunnels, aim, hosts)
        tunnel = tunnels[there.underlay]
        by_it = [one for one in traced.outputs if one.tunnel == tunnel]
        known = any(one.port is not None for one in by_it)
        return _by_tunnel(here, there, tunnel, account, known=known), _changed(packet, by_it[0])
    for output in traced.outputs:
        nic = here.left_by(output)
        if nic and nic == here.nic_of(nic.bridge):
            sent = _changed(packet, output)
            host = taker(sent, aim, gateways)
            if host != here.host:
                there = hosts.switch(host)
                return _by_wire(here, there, output, nic.bridge, sent, account), sent
    if aim.host != here.host:
        raise Ended(f"lost on {here.host}: it does not go to {aim.host}, where {aim.called} is")
    raise Ended(f"lost on {here.host}: it does not come out at {aim.called}")


def gateways_of(ports: Iterable[RouterPort]) -> dict[str, str]:
    """Return the host of each router's gateway ("": of none), by the MACs of the router's ports.

    A router that is flows has it route what comes by VLAN or flat networks: ML2/OVN sets
    `reside-on-redirect-chassis` (ovn_client.py, _gen_router_port_options).
    """
    known = list(ports)
    hosts = {one.router_id: one.host for one in known if one.gateway}
    return {one.mac_address: hosts[one.router_id] for one in known if one.router_id in hosts}


def taker(packet: Packet, aim: Aim, gateways: Mapping[str, str]) -> str:
    """Return the host that takes a packet from the wire: its router's gateway, or the aim."""
    host = gateways.get(packet.target_mac, aim.host)
    if not host:
        raise Ended("lost: no host has the gateway of its router, which is to route it")
    return host


def _changed(packet: Packet, output: Output) -> Packet:
    """Return a packet as it leaves a host by one of its ports, whose flows may be a router's."""
    return replace(
        packet,
        source_mac=output.source_mac or packet.source_mac,
        target_mac=output.target_mac or packet.target_mac,
        ttl=output.ttl or packet.ttl,
    )


def _other_end(here: Switch, tunnels: dict[str, Tunnel], aim: Aim, hosts: Hosts) -> Switch:
    """Return the host that a packet goes to: where the aim is, or the only one."""
    there = hosts.switch(aim.host)
    if there.underlay in tunnels:
        return there
    known = {one.underlay: one for one in hosts.running() if one.underlay in tunnels}
    if len(tunnels) == len(known) == 1:
        return next(iter(known.values()))
    to = ", ".join(known[one].host if one in known else one for one in tunnels)
    raise Ended(f"lost on {here.host}: it goes to {to}, and {aim.called} is on {aim.host}")


def _by_tunnel(
    here: Switch, there: Switch, tunnel: Tunnel, account: Account, *, known: bool
) -> Place:
    out = here.tunnel_to(tunnel.remote)
    # Open vSwitch's userspace datapath drops what it has to send meanwhile.
    first = "" if known else "; the first packet is lost while its MAC is asked for"
    account.tell(
        here.host,
        f"{out.type if out else 'tunnel'} {tunnel.key}",
        f"{here.underlay} → {tunnel.remote}, {there.host}{first}",
    )
    _check_link(here, there, "underlay")
    back = there.tunnel_to(here.underlay)
    if back is None:
        raise Ended(f"lost: {there.host} has no tunnel to {here.host}")
    through = switch.entered(tunnel, back, here.underlay)
    return Place(host=there.host, bridge=back.bridge, through=through)


def _by_wire(
    here: Switch, there: Switch, output: Output, bridge: str, packet: Packet, account: Account
) -> Place:
    tag = f"VLAN {output.vlan}" if output.vlan else "untagged"
    account.tell(here.host, bridge, f"{tag}, out by the NIC on the physical network")
    _check_link(here, there, "provider")
    nic = there.nic_of(bridge)
    if nic is None:
        raise Ended(f"lost: {there.host} has no {bridge} with a NIC")
    if not output.vlan and bridges_are_filtered():
        check_isolation(here, there, packet)
    vlan = f",dl_vlan={output.vlan}" if output.vlan else ""
    return Place(host=there.host, bridge=bridge, through=f"in_port={nic.name}{vlan}")


def bridges_are_filtered() -> bool:
    """Tell whether this machine's kernel gives iptables what its bridges forward."""
    with suppress(OSError):
        return BRIDGES_FILTERED.read_text(encoding="ascii").strip() == "1"
    return False


def check_isolation(here: Switch, there: Switch, packet: Packet) -> None:
    """End the way of an untagged packet that the engine takes for a stranger's.

    Of an internal network it drops IPv4 from or to addresses that are not the network's
    (iptables' chain DOCKER-ISOLATION-STAGE-1 or DOCKER-INTERNAL); ARP it does not see.
    """
    if packet.version == 6:
        return
    own = ip_network(here.provider)
    if any(ip_address(one) not in own for one in (packet.source, packet.target)):
        raise Ended(
            f"lost between {here.host} and {there.host}: Docker drops what is untagged there and"
            f" not of {own}, since the machine's bridges are filtered"
            " (net.bridge.bridge-nf-call-iptables); take addresses of it, or a VLAN"
        )


def _check_link(one: Switch, other: Switch, network: str) -> None:
    for here, peer in ((one, other), (other, one)):
        if cut := here.is_cut(network, peer.host):
            raise Ended(
                f"lost between {one.host} and {other.host}: their link is cut, by `fakevm cut`"
                f" ({cut})"
            )
