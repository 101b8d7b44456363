"""Where packets are seen, and the words for it: pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fakevm.errors import ConfigError
from fakevm.model import PluggedVif

# What a user may say, in an error's words.
_EXPECTED = "a VM, a VIF, HOST, HOST:DEVICE or HOST:NETNS:DEVICE is expected"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A device in a host, in one of its network namespaces."""

    # As the capture calls it.
    name: str
    about: str
    host: str
    # "": the NIC on the underlay, whose name the host knows.
    device: str = ""
    # Its name, or how that begins; "": the host's own.
    netns: str = ""
    # Of a VM's NIC.
    port_id: str = ""


def link(ref: str, hosts: Collection[str]) -> Point | None:
    """Return the point that a user's word means if it begins with a host's name."""
    host, *where = ref.split(":")
    if host not in hosts:
        if where and not all(where):
            raise ConfigError(f"{ref!r}: {_EXPECTED}")
        return None
    if not where:
        return underlay(host)
    if len(where) > 2 or not all(where):
        raise ConfigError(f"{ref!r}: {_EXPECTED}")
    *netns, device = where
    place = f"netns {netns[0]} of {host}" if netns else host
    return Point(
        name=f"{host} {' '.join(where)}",
        about=f"{device} in {place}",
        host=host,
        device=device,
        netns=netns[0] if netns else "",
    )


def underlay(host: str) -> Point:
    """Return a host's link to the others, where tunnels are seen."""
    return Point(
        name=f"{host} underlay", about=f"the NIC of {host} on the underlay network", host=host
    )


def nic(host: str, vif: PluggedVif) -> Point:
    """Return a VM's NIC: its outer end, where the same packets pass.

    Seen from there it is no process of the VM's, which pauses and moves without the capture.
    """
    return Point(
        name=f"{vif.vm_name}@{host} {vif.nic}",
        about=f"{vif.nic} of the VM {vif.vm_name}, {vif.mac_address}, port {vif.port_id},"
        f" seen at {vif.device} of {host}",
        host=host,
        device=vif.device,
        port_id=vif.port_id,
    )
