"""What is asked of this host: what it is, its VIFs, a VM."""

import importlib.metadata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fakevm.model import HostInfo, PluggedVif, PluggedVm
from fakevm_agent.guest.folder import Guest
from fakevm_agent.host import view
from fakevm_agent.host.parts import Host, not_plugged
from fakevm_agent.kernel import netlink
from fakevm_agent.records import Owner
from fakevm_agent.vif.names import tap_name

# What host-outage keeps.
_OUTAGES = Path("/run/fakevm/outages")


def info(host: Host) -> HostInfo:
    """Tell what this host is."""
    return HostInfo(
        host=host.name,
        version=importlib.metadata.version("fakevm"),
        datapath=host.ovsdb.datapath(host.integration_bridge),
        ovs_version=host.ovsdb.version(),
        vms=len(view.instances()),
        vifs=len(view.owners(netlink.links())),
        outages=tuple(_outages()),
    )


def _outages() -> Iterator[str]:
    for outage in sorted(_OUTAGES.glob("*")):
        # One that ends while we look.
        with suppress(FileNotFoundError):
            yield outage.read_text(encoding="utf-8").strip()


def vms() -> list[PluggedVm]:
    """Return each VM with its name and its ports by NIC: what the devices tell, and no more."""
    found: dict[str, list[Owner]] = {}
    for owner in view.owners(netlink.links()).values():
        found.setdefault(owner.instance_id, []).append(owner)
    return [
        PluggedVm(
            instance_id=instance_id,
            name=owners[0].vm_name or instance_id,
            port_ids=tuple(one.port_id for one in sorted(owners, key=lambda one: one.nic)),
        )
        for instance_id, owners in found.items()
    ]


def vifs(host: Host, port_id: str | None = None) -> list[PluggedVif]:
    """Return all VIFs, or one, if it is there."""
    if port_id is None:
        links, interfaces = netlink.links(), host.ovsdb.interfaces()
    else:
        found = host.ovsdb.find(port_id)
        links, interfaces = netlink.find_links(tap_name(port_id)), {}
        if found:
            interfaces[found.name] = found
    return view.describe_all(links, interfaces, port_names=host.drivers.port_names)


def guest_of(host: Host, port_id: str) -> Guest:
    """Return the VM that a port is plugged into."""
    owner = view.owners(netlink.find_links(tap_name(port_id))).get(port_id)
    if owner is None:
        raise not_plugged(port_id)
    return host.guest(owner.instance_id)
