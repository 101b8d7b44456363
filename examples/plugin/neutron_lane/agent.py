"""The L2 agent: Neutron's common agent loop, and what it asks of a host with Linux bridges.

Each network's bridge has a VXLAN device, which floods to all hosts that Neutron knows of, and
learns: as neutron-openvswitch-agent does without l2population, with which it can share a network.
"""

import os
import subprocess
import sys

# Chooses the backend of oslo.service, which has to be done before anything that uses it.
import neutron.cmd.agents  # noqa: F401
import oslo_messaging
from neutron.agent.linux import bridge_lib, ip_lib
from neutron.api.rpc.handlers import securitygroups_rpc
from neutron.common import config as common_config
from neutron.conf.agent import common as agent_config
from neutron.plugins.ml2.drivers.agent import _agent_manager_base as base
from neutron.plugins.ml2.drivers.agent import _common_agent
from neutron_lib.agent import topics
from oslo_config import cfg
from oslo_service import service

from neutron_lane import AGENT_TYPE, bridge_name

# As Neutron lists it. fakevm looks for the agent by its program's name.
BINARY = "lane-agent"

VXLAN = "vxlan"
# RFC 7348, 5; Open vSwitch's default, too.
PORT = 4789
# What the device does not know goes to all of these.
FLOODED = "00:00:00:00:00:00"


class Callbacks(
    securitygroups_rpc.SecurityGroupAgentRpcCallbackMixin, base.CommonAgentManagerRpcCallBackBase
):
    """What Neutron tells the agents."""

    # 1.5: binding_activate and binding_deactivate.
    target = oslo_messaging.Target(version="1.5")

    def port_update(self, context, **kwargs):
        """Look at a port again in the next round."""
        self.updated_devices.add(_device(kwargs["port"]["id"]))

    def binding_activate(self, context, **kwargs):
        """Tell again that a port is up, which Neutron has set DOWN: a VM has migrated here."""
        if kwargs["host"] == cfg.CONF.host:
            self.updated_devices.add(_device(kwargs["port_id"]))

    def binding_deactivate(self, context, **kwargs):
        """Do nothing: the device goes with the VM."""

    def network_delete(self, context, **kwargs):
        """Remove what this host has of the network."""
        network_id = kwargs["network_id"]
        self.agent.mgr.remove(network_id, self.network_map.pop(network_id, None))

    def tunnel_update(self, context, **kwargs):
        """Flood to a host that is new."""
        if kwargs["tunnel_type"] == VXLAN:
            self.agent.mgr.add_peers([kwargs["tunnel_ip"]])


class Manager(base.CommonAgentManagerBase):
    """What the loop asks of this host."""

    def __init__(self, local_ip):
        self._local_ip = local_ip
        self._peers = set()

    def add_peers(self, addresses):
        """Flood to these hosts, too."""
        new = set(addresses) - self._peers - {self._local_ip}
        self._peers = self._peers | new
        for device in ip_lib.IPWrapper().get_devices():
            if device.name.startswith(f"{VXLAN}."):
                _flood(device.name, new)

    def plug_interface(self, network_id, network_segment, device, device_owner):
        """Lead the network's bridge to the other hosts; tell whether the device is there."""
        if not ip_lib.device_exists(device):
            return False
        name = _vxlan_name(network_segment)
        if not ip_lib.device_exists(name):
            ip_lib.IPWrapper().add_vxlan(
                name, network_segment.segmentation_id, None, local=self._local_ip, dstport=PORT
            )
        # All of it is safe to repeat, for what was made by half.
        link = ip_lib.IPDevice(name).link
        link.set_mtu(network_segment.mtu)
        # On its way may be an Open vSwitch in userspace, which sums nothing for others.
        subprocess.run(("ethtool", "-K", name, "tx", "off"), check=True, capture_output=True)
        link.set_up()
        _flood(name, self._peers)
        bridge = bridge_lib.BridgeDevice(bridge_name(network_id))
        if not bridge.owns_interface(name):
            bridge.addif(name)
        return True

    def remove(self, network_id, segment):
        """Remove a network's bridge and its VXLAN device; content if they are gone."""
        for name in (bridge_name(network_id), _vxlan_name(segment) if segment else ""):
            if name and ip_lib.device_exists(name):
                ip_lib.IPDevice(name).link.delete()

    def ensure_port_admin_state(self, device, admin_state_up):
        """Set a port's device up or down."""
        link = ip_lib.IPDevice(device).link
        (link.set_up if admin_state_up else link.set_down)()

    def get_all_devices(self):
        """Return the devices that are in lanes."""
        return {
            device
            for bridge in bridge_lib.get_bridge_names()
            if bridge.startswith("lane")
            for device in bridge_lib.BridgeDevice(bridge).get_interfaces()
            if device.startswith("tap")
        }

    def get_devices_modified_timestamps(self, devices):
        """Return nothing: a device that was made anew in between is not noticed."""
        return {}

    def get_agent_configurations(self):
        """Return what Neutron shows of the agent, and others need to reach this host."""
        return {"tunnel_types": [VXLAN], "tunneling_ip": self._local_ip}

    def get_agent_id(self):
        """Return a name that is this agent's alone."""
        return f"lane-{cfg.CONF.host}"

    def get_rpc_callbacks(self, context, agent, sg_agent):
        """Return who listens to Neutron."""
        return Callbacks(context, agent, sg_agent)

    def get_rpc_consumers(self):
        """Return what is listened to."""
        return [
            [topics.PORT, topics.UPDATE],
            [topics.PORT_BINDING, topics.ACTIVATE],
            [topics.PORT_BINDING, topics.DEACTIVATE],
            [topics.NETWORK, topics.DELETE],
            ["tunnel", topics.UPDATE],
        ]

    def get_extension_driver_type(self):
        """Return the name by which agent extensions have a driver for this agent: none has."""
        return "lane"

    def get_agent_api(self, **kwargs):
        """Return what agent extensions may call: nothing."""

    def setup_arp_spoofing_protection(self, device, device_details):
        """Do nothing, as of all that filters."""

    def delete_arp_spoofing_protection(self, devices):
        """Do nothing."""

    def delete_unreferenced_arp_protection(self, current_devices):
        """Do nothing."""


class Loop(_common_agent.CommonAgentLoop):
    """The loop, once this host and the others know of each other."""

    def daemon_loop(self):
        """Tell Neutron this end of tunnels, and learn the others."""
        answer = self.plugin_rpc.tunnel_sync(
            self.context, cfg.CONF.lane.local_ip, VXLAN, cfg.CONF.host
        )
        self.mgr.add_peers(tunnel["ip_address"] for tunnel in answer["tunnels"])
        super().daemon_loop()


def _device(port_id):
    return f"tap{port_id}"[:14]


def _vxlan_name(segment):
    return f"{VXLAN}.{segment.segmentation_id}"


def _flood(device, addresses):
    for address in addresses:
        bridge_lib.FdbInterface.append(FLOODED, device, dst_ip=address)


def main():
    """Run the agent until it is ended."""
    # fakevm hands it in; in a cloud a file says it.
    address = os.environ.get("FAKEVM_UNDERLAY_ADDRESS", "").partition("/")[0]
    cfg.CONF.register_opts([cfg.IPOpt("local_ip", default=address or None)], "lane")
    common_config.register_common_config_options()
    common_config.init(sys.argv[1:])
    common_config.setup_logging()
    agent_config.setup_privsep()
    cfg.CONF.set_override("firewall_driver", "noop", "SECURITYGROUP")
    agent = Loop(
        Manager(cfg.CONF.lane.local_ip),
        cfg.CONF.AGENT.polling_interval,
        cfg.CONF.AGENT.quitting_rpc_timeout,
        AGENT_TYPE,
        BINARY,
    )
    service.launch(cfg.CONF, agent, restart_method="mutate").wait()


if __name__ == "__main__":
    main()
