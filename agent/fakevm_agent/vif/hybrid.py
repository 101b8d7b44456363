"""The driver of a hybrid VIF: a Linux bridge, where iptables filters, before Open vSwitch.

tap ─ qbr ─ qvb ═ qvo ─ br-int        qbr is a bridge, qvb and qvo are a veth pair
"""

from __future__ import annotations

from collections.abc import Mapping

from fakevm.model import Vif, Vm
from fakevm_agent import kernel
from fakevm_agent.kernel.netlink import Link
from fakevm_agent.vif.driver import Driver
from fakevm_agent.vif.names import device_name

# The kinds of its devices, in the order in which they are deleted; qvo goes with its other end.
_KINDS = {"qbr": "bridge", "qvb": "veth"}


class Hybrid(Driver):
    """vif_type ovs with ovs_hybrid_plug."""

    in_open_vswitch = True

    def port_name(self, port_id: str) -> str:
        """Return the name of the pair's end in Open vSwitch."""
        return device_name("qvo", port_id)

    def devices(self, port_id: str) -> tuple[str, ...]:
        """Return the bridge and the pair's end in it."""
        return tuple(device_name(prefix, port_id) for prefix in _KINDS)

    def is_connected(self, vif: Vif, links: Mapping[str, Link]) -> bool:
        """Tell whether the device is in the bridge, and the pair is there.

        After a restart of the host the port alone is left.
        """
        device = links.get(vif.device)
        bridge, pair = (links.get(name) for name in self.devices(vif.port_id))
        return bool(device and bridge and pair and device.master == bridge.index)

    def strays(self, keep: frozenset[str], links: Mapping[str, Link]) -> list[Link]:
        """Return bridges and pairs of other ports: their names alone say whose they are."""
        found: list[Link] = []
        for prefix, kind in _KINDS.items():
            kept = {device_name(prefix, port_id) for port_id in keep}
            for name, link in sorted(links.items()):
                if name.startswith(prefix) and link.kind == kind and name not in kept:
                    found.append(link)
        return found

    def plug(self, vif: Vif, vm: Vm) -> None:
        """Make the bridge and the pair, and the pair's other end a port."""
        self.osvif.plug(self._subject(vif), vm)

    def connect(self, vif: Vif) -> None:
        """Make the device a port of the bridge, as libvirt does with its tap."""
        kernel.devices.set_master(vif.device, device_name("qbr", vif.port_id))

    def unplug(self, vif: Vif, vm: Vm) -> None:
        """Delete the port, the pair and the bridge."""
        self.osvif.unplug(self._subject(vif), vm)

    def _subject(self, vif: Vif) -> object:
        return self.osvif.linux_bridge(vif, name=device_name("qbr", vif.port_id))
