"""What is decided of ports, VIFs and hosts: pure functions."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fakevm.errors import ConfigError, ConflictError, NotFoundError
from fakevm.model import FixedIp, Method, PluggedVif, Vif, Vm
from fakevm.neutron.values import Binding, Network, NeutronAgent, Port, Subnet

# How a VM is to come by its addresses, where its subnets leave a choice.
Addressing = Literal["dhcp", "static", "none"]

# A VM that has a name has the same instance id each time, so that nothing needs to be remembered.
_NAMESPACE = uuid.UUID("3f6a1c1e-6d0d-5b5c-9a57-0f1d0c2b7e11")

# Nova's limit for a display name.
NAME_LEN = 255


def vm_of(instance: str) -> Vm:
    """Return the VM that a user names by its instance id or a name of his own."""
    if not instance.strip() or instance != instance.strip() or not instance.isprintable():
        raise ConfigError(f"{instance!r} is no VM's name: printable characters are expected")
    if len(instance) > NAME_LEN:
        raise ConfigError(f"a VM's name has at most {NAME_LEN} characters, not {len(instance)}")
    try:
        return Vm(instance_id=str(uuid.UUID(instance)), name=instance)
    except ValueError:
        return Vm(instance_id=str(uuid.uuid5(_NAMESPACE, instance)), name=instance)


def vm_of_port(port: Port, plugged: Iterable[PluggedVif] = ()) -> Vm:
    """Return the VM that a port belongs to; a port of none gets one of its own.

    Neutron does not know the VM's name: only the host where a NIC of it is plugged does.
    """
    instance_id = port.device_id or str(uuid.uuid5(_NAMESPACE, port.id))
    names = (one.vm_name for one in plugged if one.instance_id == instance_id)
    name = next(names, instance_id)
    return Vm(instance_id=instance_id, name=name, project_id=port.project_id)


def choose_host(instance_id: str, *, hosts: Sequence[str], ports: Iterable[Port]) -> str:
    """Return the host where a VM is, or the one with the fewest VMs for a new one."""
    vms: dict[str, set[str]] = {host: set() for host in hosts}
    for port in ports:
        if port.device_id == instance_id and port.host:
            return port.host
        if port.host in vms:
            vms[port.host].add(port.device_id)
    if not vms:
        raise ConflictError("no compute host is up and healthy", hint="fakevm status")
    return min(hosts, key=lambda host: len(vms[host]))


def method(subnet: Subnet, addressing: Addressing) -> Method:
    """Return how a VM comes by its address on a subnet.

    Where it is to be DHCP and the subnet has none, the address is static, as an image's
    configuration drive would set it.
    """
    if addressing != "dhcp":
        return addressing
    if subnet.ip_version == 4:
        return "dhcp" if subnet.enable_dhcp else "static"
    match subnet.ipv6_address_mode:
        case "slaac" | "dhcpv6-stateless":
            return "slaac"
        case "dhcpv6-stateful":
            return "dhcpv6"
        case _:
            return "static"


def fixed_ips(
    port: Port, network: Network, addressing: Addressing, *, silent: Collection[str] = ()
) -> tuple[FixedIp, ...]:
    """Return a port's addresses with how the VM comes by them.

    `silent` are the subnets on which nobody advertises: no VM has a SLAAC address there.
    """
    subnets = {subnet.id: subnet for subnet in network.subnets}
    return tuple(
        FixedIp(
            ip_address=ip.ip_address,
            prefix_len=subnets[ip.subnet_id].prefix_len,
            subnet_id=ip.subnet_id,
            gateway_ip=subnets[ip.subnet_id].gateway_ip,
            method="none"
            if ip.subnet_id in silent and method(subnets[ip.subnet_id], addressing) == "slaac"
            else method(subnets[ip.subnet_id], addressing),
        )
        for ip in port.fixed_ips
    )


def as_before(ips: Iterable[FixedIp], before: PluggedVif) -> tuple[FixedIp, ...]:
    """Return the addresses, each come by as the VIF that is plugged comes by it."""
    methods = {ip.ip_address: ip.method for ip in before.fixed_ips}
    return tuple(replace(ip, method=methods.get(ip.ip_address, ip.method)) for ip in ips)


def requested_ips(wanted: Sequence[str], subnets: Sequence[Subnet]) -> list[dict[str, str]]:
    """Return a port's `fixed_ips` for Neutron: as wanted, or one address of every subnet.

    An address is written as `openstack port create` has it, "subnet=…,ip-address=…", or alone.
    Empty where Neutron gives one of every subnet by itself: of each IP version it takes one subnet,
    and all that have SLAAC (neutron/db/ipam_pluggable_backend.py).
    """
    if not wanted:
        chosen = [s.ip_version for s in subnets if method(s, "dhcp") != "slaac"]
        needed = len(chosen) != len(set(chosen))
        return [{"subnet_id": subnet.id} for subnet in subnets] if needed else []
    return [_requested_ip(text, subnets) for text in wanted]


def _requested_ip(text: str, subnets: Sequence[Subnet]) -> dict[str, str]:
    keys = {"subnet": "subnet_id", "ip-address": "ip_address"}
    try:
        return {"ip_address": str(ipaddress.ip_address(text))}
    except ValueError:
        pairs = dict(part.partition("=")[::2] for part in text.split(","))
    if not pairs.keys() <= keys.keys() or not all(pairs.values()):
        raise ConfigError(
            f"--fixed-ip {text}: an address, or subnet=SUBNET,ip-address=ADDRESS, is expected"
        )
    if named := pairs.get("subnet"):
        found = [subnet.id for subnet in subnets if named in (subnet.id, subnet.name)]
        if len(found) != 1:
            raise NotFoundError(f"the network has no subnet {named!r}, or several of this name")
        pairs["subnet"] = found[0]
    return {keys[key]: value for key, value in pairs.items()}


def vif(
    port: Port,
    network: Network,
    binding: Binding | Port,
    ips: tuple[FixedIp, ...],
    *,
    preserve_on_delete: bool,
) -> Vif:
    """Return a port as a host plugs it, with what Neutron answered for this host.

    preserve_on_delete: it was given to its VM, or nobody can tell.
    """
    return Vif(
        port_id=port.id,
        network_id=port.network_id,
        mac_address=port.mac_address,
        mtu=network.mtu,
        vif_type=binding.vif_type,
        vif_details=binding.vif_details,
        vnic_type=port.vnic_type,
        fixed_ips=ips,
        preserve_on_delete=preserve_on_delete,
    )


@dataclass(frozen=True, kw_only=True)
class Row:
    """A VIF: what Neutron says and what a host has, side by side."""

    port_id: str
    name: str
    vm_name: str
    instance_id: str
    # Where Neutron has it; "" where it does not know the port or did not bind it.
    host: str
    # Where it is plugged; "" where it is not.
    plugged_host: str
    status: str
    mac_address: str
    project_id: str
    network_id: str
    fixed_ips: tuple[Mapping[str, str], ...]
    # With prefix length, as the VM's NIC has them.
    addresses: tuple[str, ...]
    nic: str
    device: str
    # Where the two differ, in words; "" where all is well.
    differs: str
    # The network's name, where it was looked up.
    network: str = ""


def rows(
    ports: Iterable[Port],
    plugged: Mapping[str, Sequence[PluggedVif]],
    *,
    silent_hosts: Collection[str] = (),
) -> list[Row]:
    """Join Neutron's ports with what each host has, by VM and NIC.

    `silent_hosts` did not answer: nothing is known of what they have.
    """
    places: dict[str, list[tuple[str, PluggedVif]]] = {}
    for host, vifs in plugged.items():
        for one in vifs:
            places.setdefault(one.port_id, []).append((host, one))
    made = []
    for port in ports:
        found = places.pop(port.id, [])
        made += [row(port, host, one) for host, one in found]
        if not found:
            made.append(row(port, "", None, silent_hosts))
    for found in places.values():
        made += [row(None, host, one) for host, one in found]
    return sorted(made, key=lambda r: (r.vm_name, r.instance_id, r.nic, r.port_id))


def row(
    port: Port | None, host: str, one: PluggedVif | None, silent_hosts: Collection[str] = ()
) -> Row:
    """Join one port with one VIF; either may be missing."""
    return Row(
        port_id=port.id if port else one.port_id if one else "",
        name=port.name if port else "",
        # Neutron does not know the name.
        vm_name=one.vm_name if one else port.device_id if port else "",
        instance_id=port.device_id if port else one.instance_id if one else "",
        host=port.host if port else "",
        plugged_host=host,
        status=port.status if port else "",
        mac_address=port.mac_address if port else one.mac_address if one else "",
        project_id=port.project_id if port else "",
        network_id=port.network_id if port else "",
        fixed_ips=tuple(
            {"ip_address": ip.ip_address, "subnet_id": ip.subnet_id}
            for ip in (port.fixed_ips if port else ())
        ),
        addresses=one.addresses if one else (),
        nic=one.nic if one else "",
        device=one.device if one else "",
        differs="; ".join(_differences(port, host, one, silent_hosts)),
    )


def _differences(
    port: Port | None, host: str, one: PluggedVif | None, silent_hosts: Collection[str]
) -> list[str]:
    if port is None:
        return ["Neutron has no such port (fakevm cleanup)"]
    if one is None:
        if port.host in silent_hosts:
            return [f"{port.host} does not answer"]
        return [f"not plugged on {port.host}"] if port.host else ["not bound"]
    found = []
    if host != port.host:
        found.append(f"plugged on {host}, bound to {port.host or 'no host'}")
    elif port.vif_type == "binding_failed":
        found.append("the binding failed")
    elif port.status != "ACTIVE" and port.admin_state_up:
        found.append(f"plugged, but the port is {port.status}")
    if one.error or one.ofport in (None, -1):
        found.append(one.error or "Open vSwitch has no such device")
    if one.mac_address != port.mac_address:
        found.append(f"the NIC's MAC is {one.mac_address}")
    methods = {ip.ip_address: ip.method for ip in one.fixed_ips}
    on_nic = {address.partition("/")[0] for address in one.addresses}
    expected = {
        ip.ip_address for ip in port.fixed_ips if methods.get(ip.ip_address, "static") != "none"
    }
    if host == port.host and (missing := expected - on_nic):
        found.append(f"the NIC lacks {', '.join(sorted(missing))}")
    if extra := on_nic - {ip.ip_address for ip in port.fixed_ips}:
        found.append(f"the NIC also has {', '.join(sorted(extra))}")
    return found


def binding_failed(port: Port, here: Collection[NeutronAgent]) -> ConflictError:
    """Return the error that says why a host, with these L2 agents, could not take a port."""
    failed = f"Neutron could not bind port {port.id} to {port.host}"
    if not here:
        told = f"no L2 agent of {port.host} is known to Neutron"
    else:
        told = "; ".join(f"its {agent.binary} is {agent.state}" for agent in here)
    if port.vnic_type == "normal":
        return ConflictError(f"{failed}: {told}", hint="fakevm status")
    return ConflictError(
        f"{failed}: its vnic_type is {port.vnic_type}, for which a lab has no hardware ({told})",
        hint="--vnic-type normal; fakevm status",
    )
