"""The VIF driver, which fakevm-agent finds by the entry point: what Nova's side does on a host."""

import subprocess

from fakevm.errors import FakevmError
from fakevm_agent.vif.driver import Driver
from neutron_lane import bridge_name


class Lane(Driver):
    """The VIF's device is a port of its network's bridge. The bridge is the network's, and stays.

    It touches that bridge and the device's place in it, nothing else.
    """

    def plug(self, vif, vm):
        """Make the bridge, where this is the host's first VIF of the network."""
        name = bridge_name(vif.network_id)
        if _ip("link", "show", name).returncode:
            # Of two at once one is first.
            _ip("link", "add", name, "type", "bridge", "forward_delay", "0")
        done = _ip("link", "set", name, "up")
        if done.returncode:
            raise FakevmError(f"there is no bridge {name}: {done.stderr.strip()}")

    def connect(self, vif):
        """Put the device into the bridge."""
        done = _ip("link", "set", vif.device, "master", bridge_name(vif.network_id))
        if done.returncode:
            raise FakevmError(f"{vif.device} can't be put into its bridge: {done.stderr.strip()}")

    def is_connected(self, vif, links):
        """Tell whether the device is in a bridge; a host that restarted has neither."""
        device = links.get(vif.device)
        return bool(device and device.master)

    def unplug(self, vif, vm):
        """Leave the bridge to the agent, which removes it with the network."""


def _ip(*arguments):
    return subprocess.run(("ip", *arguments), capture_output=True, text=True, check=False)
