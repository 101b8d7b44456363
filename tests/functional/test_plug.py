"""Plugging and unplugging, seen by ip and ovs-vsctl."""

from __future__ import annotations

from fakevm.model import Vm

from tests.functional.agent import Agent
from tests.functional.conftest import make_vif
from tests.functional.openvswitch import OpenVSwitch
from tests.functional.seen import addresses, devices, namespaces


def test_a_plugged_vif_is_what_neutron_and_its_agent_expect(
    agent: Agent, openvswitch: OpenVSwitch, vm: Vm
) -> None:
    vif = make_vif("10.0.0.5/24", "2001:db8::5/64")
    plugged = agent.plug(vif, vm)
    assert plugged["changed"]
    assert plugged["error"] == ""
    interface = openvswitch.interfaces()[vif.device]
    assert interface["ofport"] == plugged["ofport"] > 0
    keys = interface["external_ids"]
    assert keys["iface-id"] == vif.port_id
    assert keys["attached-mac"] == vif.mac_address
    assert keys["iface-status"] == "active"
    assert keys["vm-uuid"] == vm.instance_id
    nic = devices(vm.instance_id)["eth0"]
    assert (nic["address"], nic["mtu"], nic["operstate"]) == (vif.mac_address, 1442, "UP")
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.5/24", "2001:db8::5/64"}
    assert "UP" in devices(vm.instance_id)["lo"]["flags"]
    assert agent.unplug(vif.port_id)
    assert vif.device not in openvswitch.interfaces()
    assert vif.device not in devices()
    assert vm.instance_id not in namespaces()
