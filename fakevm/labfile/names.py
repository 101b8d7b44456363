"""The names in Neutron of what a lab file leaves without one: pure."""

from __future__ import annotations

from collections import Counter

from fakevm.labfile.model import Network, Trunk, VirtualMachine


def subnet_names(network: str, found: Network) -> list[str]:
    """Return the names of a network's subnets: "blue-v4", a second one's "blue-v4-2"."""
    seen: Counter[str] = Counter()
    names = []
    for subnet in found.subnets:
        version = "v6" if ":" in subnet.cidr else "v4"
        usual = f"{network}-{version}"
        names.append(subnet.name if subnet.name is not None else _numbered(usual, seen))
    return names


def nic_names(vm: str, found: VirtualMachine) -> list[str]:
    """Return the names of a VM's ports: "web-blue", of a second NIC there "web-blue-2"."""
    seen: Counter[str] = Counter()
    return [
        nic.name if nic.name is not None else _numbered(f"{vm}-{nic.network}", seen)
        for nic in found.nics
    ]


def subport_names(trunk: str, found: Trunk) -> list[str]:
    """Return the names of a trunk's subports: "uplink-100"."""
    return [
        sub.name if sub.name is not None else f"{trunk}-{sub.segmentation_id}"
        for sub in found.sub_ports
    ]


def _numbered(base: str, seen: Counter[str]) -> str:
    seen[base] += 1
    return base if seen[base] == 1 else f"{base}-{seen[base]}"
