"""The ends of a packet's way: two ports, and what their VMs have of them."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass

from fakevm.errors import ConfigError
from fakevm.model import PluggedVif
from fakevm.neutron.values import Port
from fakevm.reach.topology import Nic, RouterPort, Topology
from fakevm.trace.values import Ended


@dataclass(frozen=True, kw_only=True)
class End:
    """A port, and what its host has of it."""

    # As the user called it.
    ref: str
    port: Port
    nic: Nic
    # None: its host does not have it.
    vif: PluggedVif | None = None

    @property
    def called(self) -> str:
        """Its VM's name, or what the user called it."""
        return self.vif.vm_name if self.vif else self.ref


@dataclass(frozen=True, kw_only=True)
class Route:
    """A way out, as the kernel has it."""

    device: str
    # "": what it leads to is on the network itself.
    gateway: str
    # "": of what is only led on.
    source: str


def nic_of(topology: Topology, port: Port) -> Nic:
    """Return a port as security groups see it."""
    found = (nic for nic in topology.nics if nic.port_id == port.id)
    # One that no VM has yet is not among them.
    return next(found, None) or Nic(
        port_id=port.id,
        instance_id=port.device_id,
        host=port.host,
        network_id=port.network_id,
        addresses={ip.ip_address: ip.subnet_id for ip in port.fixed_ips},
        up=port.admin_state_up,
    )


def address_of(source: Port, target: Port) -> str:
    """Return the target's address that a source can send to: of IPv4, if both have one.

    ConfigError, where that is nobody else's, or there is none.
    """
    if source.id == target.id or (source.device_id and source.device_id == target.device_id):
        raise ConfigError(
            f"{source.id} and {target.id} are of one VM: what it sends to itself stays inside"
            if source.id != target.id
            else f"both ends are port {source.id}: what a VM sends to itself stays inside",
            hint="name two VMs",
        )
    for version in (4, 6):
        theirs = _of_version(target, version)
        if theirs and _of_version(source, version):
            return theirs[0]
    none = next((port for port in (source, target) if not port.fixed_ips), None)
    raise ConfigError(
        f"port {none.id} has no address"
        if none
        else f"ports {source.id} and {target.id} have no addresses of the same version of IP"
    )


def _of_version(port: Port, version: int) -> list[str]:
    addresses = (ip.ip_address for ip in port.fixed_ips)
    return [one for one in addresses if ipaddress.ip_address(one).version == version]


def state_of(end: End) -> str:
    """Return what Neutron says of a port that is not as it should be, for a sentence's end."""
    if not end.nic.up:
        return f"; the port of {end.called} is administratively down"
    if end.port.host and end.port.status != "ACTIVE":
        return f"; Neutron has the port of {end.called} {end.port.status}"
    return ""


def check_bound(end: End) -> None:
    """End the way where a port is on no host, or could not be bound."""
    if not end.port.host:
        raise Ended(f"not sent: {end.ref} is on no host; its port is not bound")
    if end.port.vif_type == "binding_failed":
        raise Ended(f"not sent: the binding of {end.ref} to {end.port.host} failed")


def check_sends(end: End) -> None:
    """End the way where a VM can't send."""
    _check_plugged(end, "not sent")
    if end.vif and end.vif.paused:
        raise Ended(f"not sent: VM {end.called} is paused, on {end.port.host}")


def check_gets(end: End, address: str) -> None:
    """End the way where a VM has the packet at its device, and does not get it."""
    assert end.vif is not None
    if end.vif.paused:
        raise Ended(f"not received: VM {end.called} is paused, on {end.port.host}")
    there = {ipaddress.ip_interface(one).ip for one in end.vif.addresses}
    if ipaddress.ip_address(address) not in there:
        raise Ended(
            f"not received: the NIC of {end.called} lacks {address}; it has"
            f" {', '.join(end.vif.addresses) or 'no address'}"
        )


def check_arrives(end: End) -> None:
    """End the way where the target's host does not have it."""
    _check_plugged(end, "lost")


def _check_plugged(end: End, word: str) -> None:
    host = end.port.host
    if end.vif is None:
        raise Ended(f"{word}: {end.ref} is not plugged on {host}")
    if end.vif.error:
        raise Ended(f"{word}: {end.called} on {host}: {end.vif.error}")


def route(answer: str) -> Route | None:
    """Return what `ip -json route get` answers; None: there is no way."""
    found = json.loads(answer or "[]")
    if not found or found[0].get("type") in ("unreachable", "blackhole", "prohibit"):
        return None
    (first, *_) = found
    return Route(
        device=first["dev"], gateway=first.get("gateway", ""), source=first.get("prefsrc", "")
    )


def router_port_at(topology: Topology, network_id: str, address: str) -> RouterPort | None:
    """Return the router's port that has an address on a network."""
    for port in topology.router_ports:
        # Who has learned its route from router advertisements has it by this one (RFC 4861, 4.2).
        has = (*port.addresses, link_local(port.mac_address))
        if port.network_id == network_id and address in has:
            return port
    return None


def link_local(mac_address: str) -> str:
    """Return the link-local address that a NIC gives itself, by its MAC (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac_address.replace(":", ""))
    interface = bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + interface))


def router_port_of(ports: Sequence[RouterPort], device: str) -> RouterPort | None:
    """Return a router's port by its device in the router's namespace, as qr-1234abcd-12."""
    begun = device.partition("-")[2]
    return next((port for port in ports if begun and port.port_id.startswith(begun)), None)
