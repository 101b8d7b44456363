"""The driver of a VIF in its network's Linux bridge, which an L2 agent leads on."""

from __future__ import annotations

from collections.abc import Mapping

from fakevm.model import Vif, Vm
from fakevm_agent import kernel
from fakevm_agent.kernel import netlink, netns
from fakevm_agent.kernel.netlink import Link
from fakevm_agent.vif.driver import Driver
from fakevm_agent.vif.names import bridge_name


class Bridge(Driver):
    """vif_type bridge: the bridge is made where it is missing, and it is not the port's alone.

    As os-vif's linux_bridge plug-in makes it, which later releases of os-vif have no more.
    """

    def plug(self, vif: Vif, vm: Vm) -> None:
        """Make the bridge."""
        name = _name(vif)
        kernel.devices.create_bridge(name)
        # The host has no part in the network (vif_plug_linux_bridge/linux_net.py).
        netns.write_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "1")
        netns.write_sysctl(f"net/ipv4/conf/{name}/arp_ignore", "1")
        netns.write_sysctl(f"net/ipv4/conf/{name}/arp_announce", "2")
        netlink.set_link(name, up=True)

    def connect(self, vif: Vif) -> None:
        """Make the device a port of the bridge, as libvirt does with its tap."""
        kernel.devices.set_master(vif.device, _name(vif))

    def unplug(self, vif: Vif, vm: Vm) -> None:
        """Leave the bridge to the L2 agent; the device takes its port along."""

    def is_connected(self, vif: Vif, links: Mapping[str, Link]) -> bool:
        """Tell whether the device is in a bridge; an L2 agent may have put it into its own."""
        device = links.get(vif.device)
        return bool(device and device.master)


def _name(vif: Vif) -> str:
    # nova/network/neutron.py, _nw_info_build_network.
    return bridge_name(vif, f"brq{vif.network_id}")
