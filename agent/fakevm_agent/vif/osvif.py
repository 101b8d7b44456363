"""Plugging by os-vif, as Nova does it. The only module that imports os_vif."""

import logging
from typing import Any

import os_vif
from os_vif import exception, objects
from oslo_config import cfg
from vif_plug_ovs import ovs, privsep

from fakevm.errors import ConflictError, FakevmError
from fakevm.model import Vif, Vm
from fakevm_agent.vif.names import bridge_name, hybrid_name, is_hybrid

_REASON_MAX = 300

# What stands in a binding's vif_type instead of a way to plug (nova/network/model.py).
_NOT_BOUND = {
    "binding_failed": (
        "Neutron could not bind it to this host",
        "see that the host's L2 agent is alive: fakevm openstack network agent list",
    ),
    "unbound": ("it is not bound to a host", "fakevm plug --host HOST PORT"),
}


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
        self.unplug(
            Vif(port_id=no_id, network_id=no_id, mac_address=no_mac, mtu=0, vif_type="ovs"),
            Vm(instance_id=no_id, name=""),
        )

    def plug(self, vif: Vif, vm: Vm) -> None:
        """Make the OVS port of a device that exists, and for a hybrid VIF what is in between."""
        subject, instance = self._vif(vif), _instance(vm)
        try:
            os_vif.plug(subject, instance)
        except exception.ExceptionBase as error:
            raise FakevmError(f"os-vif can't plug {vif.device}: {_reason(error)}") from error

    def unplug(self, vif: Vif, vm: Vm) -> None:
        """Remove what plug made; content if it is gone."""
        subject, instance = self._vif(vif), _instance(vm)
        try:
            os_vif.unplug(subject, instance)
        except exception.ExceptionBase as error:
            raise FakevmError(f"os-vif can't unplug {vif.device}: {_reason(error)}") from error

    def check(self, vif: Vif) -> None:
        """Raise ConflictError where os-vif has no way to plug it."""
        if vif.vif_type in _NOT_BOUND:
            reason, hint = _NOT_BOUND[vif.vif_type]
            raise ConflictError(
                f"port {vif.port_id} can't be plugged: {reason} (vif_type {vif.vif_type})",
                hint=hint.replace("PORT", vif.port_id),
            )
        if vif.vif_type != "ovs" or vif.vnic_type != "normal":
            raise ConflictError(
                f"port {vif.port_id} can't be plugged into an emulated VM: vif_type "
                f"{vif.vif_type}, vnic_type {vif.vnic_type}; only ovs with normal can",
                hint=f"fakevm openstack port set --vnic-type normal {vif.port_id}",
            )

    def _vif(self, vif: Vif) -> Any:
        """Map what Neutron answered as nova/network/os_vif_util.py does."""
        self.check(vif)
        bridge = bridge_name(vif, self._integration_bridge)
        profile = objects.vif.VIFPortProfileOpenVSwitch(
            interface_id=vif.port_id, datapath_type=vif.vif_details.get("datapath_type")
        )
        if "create_tap" in profile.fields:
            # Neutron may ask for it (ovs_create_tap), for libvirt to open. Our device is a veth's
            # end, made before: a port whose device comes late is at ofport -1, and the L2 agent
            # defers it.
            profile.create_tap = False
        network = objects.network.Network(id=vif.network_id, bridge=bridge, mtu=vif.mtu)
        common: dict[str, Any] = {
            "id": vif.port_id,
            "address": vif.mac_address,
            "network": network,
            "plugin": "ovs",
            "port_profile": profile,
            "vif_name": vif.device,
            "has_traffic_filtering": bool(vif.vif_details.get("port_filter", False)),
            "preserve_on_delete": vif.preserve_on_delete,
            "active": False,
        }
        if is_hybrid(vif):
            return objects.vif.VIFBridge(bridge_name=hybrid_name("qbr", vif.port_id), **common)
        # Nova sets it to delegate_create, which is true for every VIF of Neutron's.
        profile.create_port = True
        return objects.vif.VIFOpenVSwitch(bridge_name=bridge, **common)


def _reason(error: Exception) -> str:
    """Return what os-vif met, without its picture of the whole VIF around it."""
    return str(error.__context__ or error)[:_REASON_MAX]


def _instance(vm: Vm) -> Any:
    info = objects.instance_info.InstanceInfo(uuid=vm.instance_id, name=vm.name)
    if vm.project_id:
        info.project_id = vm.project_id
    return info
