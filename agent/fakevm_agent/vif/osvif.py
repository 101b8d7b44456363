"""os-vif, as Nova uses it: what its drivers share. The only module that imports os_vif."""

import logging
from typing import Any

import os_vif
from os_vif import exception, objects
from oslo_config import cfg
from vif_plug_ovs import ovs, privsep

from fakevm.errors import FakevmError
from fakevm.model import Vif, Vm
from fakevm_agent.vif.names import bridge_name

_REASON_MAX = 300


class OsVif:
    """os-vif's plug-in for Open vSwitch, in this process.

    It is safe in threads: its database connection has a queue, and each of its netlink calls opens
    a socket of its own.
    """

    def __init__(self, conf: Any) -> None:
        # os-vif reads its section once, in initialize(); what a file sets there goes before.
        conf.register_opts(ovs.OvsPlugin.CONFIG_OPTS, group="os_vif_ovs")
        conf.set_default("ovsdb_connection", conf.fakevm.ovsdb_connection, group="os_vif_ovs")
        conf.set_default("ovs_vsctl_timeout", conf.fakevm.ovsdb_timeout, group="os_vif_ovs")
        assert conf is cfg.CONF, "os-vif knows no other"
        self._integration_bridge = conf.fakevm.integration_bridge
        # We are root already: no sudo, no privsep daemon.
        privsep.vif_plug.set_client_mode(False)
        # Its failures are raised, too, and then said once, by the agent.
        logging.getLogger("os_vif").setLevel(logging.CRITICAL)
        os_vif.initialize()

    def connect(self) -> None:
        """Open os-vif's connection to the database, which it does at its first act.

        That is not safe in threads, so this first act is one without an effect.
        """
        no_id, no_mac = "00000000-0000-0000-0000-000000000000", "00:00:00:00:00:00"
        nothing = Vif(port_id=no_id, network_id=no_id, mac_address=no_mac, mtu=0, vif_type="ovs")
        self.unplug(self.open_vswitch(nothing), Vm(instance_id=no_id, name=""))

    def open_vswitch(self, vif: Vif) -> Any:
        """Return what os-vif makes a port of the device itself from."""
        bridge = bridge_name(vif, self._integration_bridge)
        subject = objects.vif.VIFOpenVSwitch(bridge_name=bridge, **self._common(vif))
        # Nova sets it to delegate_create, which is true for every VIF of Neutron's.
        subject.port_profile.create_port = True
        return subject

    def linux_bridge(self, vif: Vif, *, name: str) -> Any:
        """Return what os-vif makes a Linux bridge before Open vSwitch from."""
        return objects.vif.VIFBridge(bridge_name=name, **self._common(vif))

    def plug(self, subject: Any, vm: Vm) -> None:
        """Make what the subject says."""
        try:
            os_vif.plug(subject, _instance(vm))
        except exception.ExceptionBase as error:
            raise FakevmError(f"os-vif can't plug {subject.vif_name}: {_reason(error)}") from error

    def unplug(self, subject: Any, vm: Vm) -> None:
        """Remove what plug made; content if it is gone."""
        try:
            os_vif.unplug(subject, _instance(vm))
        except exception.ExceptionBase as error:
            reason = _reason(error)
            raise FakevmError(f"os-vif can't unplug {subject.vif_name}: {reason}") from error

    def _common(self, vif: Vif) -> dict[str, Any]:
        """Map what Neutron answered as nova/network/os_vif_util.py does."""
        profile = objects.vif.VIFPortProfileOpenVSwitch(
            interface_id=vif.port_id, datapath_type=vif.vif_details.get("datapath_type")
        )
        if "create_tap" in profile.fields:
            # Neutron may ask for it (ovs_create_tap), for libvirt to open. Our device is a veth's
            # end, made before: a port whose device comes late is at ofport -1, and the L2 agent
            # defers it.
            profile.create_tap = False
        bridge = bridge_name(vif, self._integration_bridge)
        return {
            "id": vif.port_id,
            "address": vif.mac_address,
            "network": objects.network.Network(id=vif.network_id, bridge=bridge, mtu=vif.mtu),
            "plugin": "ovs",
            "port_profile": profile,
            "vif_name": vif.device,
            "has_traffic_filtering": bool(vif.vif_details.get("port_filter", False)),
            "preserve_on_delete": vif.preserve_on_delete,
            "active": False,
        }


def _reason(error: Exception) -> str:
    """Return what os-vif met, without its picture of the whole VIF around it."""
    return str(error.__context__ or error)[:_REASON_MAX]


def _instance(vm: Vm) -> Any:
    info = objects.instance_info.InstanceInfo(uuid=vm.instance_id, name=vm.name)
    if vm.project_id:
        info.project_id = vm.project_id
    return info
