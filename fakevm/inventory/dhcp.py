"""What Neutron's DHCP agents have of a port: asked only when its VM gets no address from them."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_interface

from fakevm.clients.parts import Parts
from fakevm.errors import FakevmError, NotFoundError, WaitTimeoutError
from fakevm.model import PluggedVif
from fakevm.neutron.values import NeutronAgent, Port

# dnsmasq's list of hosts (neutron/agent/linux/dhcp.py, Dnsmasq; `dhcp_confs`).
HOSTS_FILE = "/var/lib/neutron/dhcp/{network_id}/host"


@dataclass(frozen=True, kw_only=True)
class DhcpServer:
    """A DHCP agent that is to serve a network, and what it has of one port."""

    host: str
    alive: bool
    # Whether it has set up the network.
    has_network: bool
    has_port: bool


def servers(lab: Parts, port: Port) -> list[DhcpServer]:
    """Ask the DHCP agents that Neutron gave a port's network to."""
    agents = lab.neutron.dhcp_agents(port.network_id)
    return [_server(lab, agent, port) for agent in agents]


def serves(hosts: str, mac_address: str) -> bool:
    """Tell whether a list of dnsmasq's hosts has one with this MAC."""
    return any(line.partition(",")[0] == mac_address for line in hosts.splitlines())


def missing(vif: PluggedVif) -> bool:
    """Tell whether a NIC is without an address that a DHCP agent would give it."""
    there = {ip_interface(address).ip for address in vif.addresses}
    leased = (fixed for fixed in vif.fixed_ips if fixed.method in ("dhcp", "dhcpv6"))
    return any(ip_interface(fixed.ip_address).ip not in there for fixed in leased)


def words(found: Collection[DhcpServer]) -> str:
    """Return who serves a port, or why nobody does."""
    if not found:
        return "no DHCP agent has the network"
    return "; ".join(map(_words, found))


def explained(lab: Parts, port: Port, error: WaitTimeoutError) -> WaitTimeoutError:
    """Return the error of a NIC that got no address, with what the DHCP agents have of it."""
    try:
        found = servers(lab, port)
        hint = "; ".join(_mend(lab, one) for one in found if not one.has_port)
    except FakevmError as failure:
        error.add_note(f"and the DHCP agents could not be asked: {failure}")
        return error
    return WaitTimeoutError(f"{words(found)}: {error}", hint=hint or error.hint)


def _server(lab: Parts, agent: NeutronAgent, port: Port) -> DhcpServer:
    hosts: str | None = None
    with suppress(NotFoundError):
        hosts = lab.file(agent.host, HOSTS_FILE.format(network_id=port.network_id))
    return DhcpServer(
        host=agent.host,
        alive=agent.alive,
        has_network=hosts is not None,
        has_port=serves(hosts or "", port.mac_address),
    )


def _words(one: DhcpServer) -> str:
    has = "has" if one.has_port else "does not have"
    what = "port" if one.has_network else "network"
    dead = "" if one.alive else ", and is not alive"
    return f"the DHCP agent of {one.host} {has} this {what}{dead}"


def _mend(lab: Parts, one: DhcpServer) -> str:
    container = lab.service(one.host).name
    return f"docker exec {container} s6-svc -r /run/services/dhcp-agent"
