"""What Neutron says of VIFs and what the hosts have, joined: pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fakevm.model import PluggedVif
from fakevm.neutron.values import Port


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


def join(
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
        made += [joined(port, host, one) for host, one in found]
        if not found:
            made.append(joined(port, "", None, silent_hosts))
    for found in places.values():
        made += [joined(None, host, one) for host, one in found]
    return sorted(made, key=lambda r: (r.vm_name, r.instance_id, r.nic, r.port_id))


def joined(
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
        if port.host:
            return [f"not plugged on {port.host}"]
        # Of a VM, and on no host: Nova unbinds so what it shelves.
        shelved = port.device_owner.startswith("compute:")
        return [f"on no host (fakevm unshelve {port.device_id})" if shelved else "not bound"]
    found = []
    if host != port.host:
        found.append(f"plugged on {host}, bound to {port.host or 'no host'}")
    elif port.vif_type == "binding_failed":
        found.append("the binding failed")
    elif port.status != "ACTIVE" and port.admin_state_up:
        found.append(f"plugged, but the port is {port.status}")
    if one.error or (one.in_open_vswitch and one.ofport in (None, -1)):
        found.append(one.error or "Open vSwitch has no such device")
    if one.mac_address != port.mac_address:
        found.append(f"the NIC's MAC is {one.mac_address}")
    if one.paused:
        # What it has is kept elsewhere.
        return [*found, f"VM {one.vm_name} is paused"]
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
