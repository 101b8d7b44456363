"""Plugging and unplugging, seen by ip and ovs-vsctl."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from fakevm.model import FixedIp, Vif, Vm
from tests.functional.agent import Agent, Client, RefusedError
from tests.functional.conftest import make_vif, make_vm
from tests.functional.openvswitch import BRIDGE, OpenVSwitch, run
from tests.functional.seen import addresses, devices, namespaces, routes


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
    ours = openvswitch.vsctl("get", "Port", vif.device, "external_ids:fakevm")
    assert json.loads(json.loads(ours))["nic"] == "eth0"
    nic = devices(vm.instance_id)["eth0"]
    assert (nic["address"], nic["mtu"], nic["operstate"]) == (vif.mac_address, 1442, "UP")
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.5/24", "2001:db8::5/64"}
    assert "UP" in devices(vm.instance_id)["lo"]["flags"]
    assert agent.unplug(vif.port_id)
    assert vif.device not in openvswitch.interfaces()
    assert vif.device not in devices()
    assert vm.instance_id not in namespaces()


def test_the_host_has_no_part_in_the_network_of_a_vif(agent: Agent, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24")
    agent.plug(vif, vm)
    assert run("sysctl", "-n", f"net.ipv6.conf.{vif.device}.disable_ipv6").strip() == "1"
    assert run("sysctl", "-n", f"net.ipv4.conf.{vif.device}.arp_ignore").strip() == "1"
    offloads = run("ip", "netns", "exec", vm.instance_id, "ethtool", "-k", "eth0")
    assert "tx-checksumming: off" in offloads


def test_a_static_address_comes_with_its_gateway(agent: Agent, vm: Vm) -> None:
    inside = _static("10.0.0.5", 24, gateway="10.0.0.1")
    outside = _static("2001:db8::5", 64, gateway="fe80::1")
    vif = make_vif(fixed_ips=(inside, outside))
    agent.plug(vif, vm)
    assert [route["gateway"] for route in routes(vm.instance_id)] == ["10.0.0.1"]
    assert [route["gateway"] for route in routes(vm.instance_id, 6)] == ["fe80::1"]


def test_a_plug_again_changes_nothing(agent: Agent, openvswitch: OpenVSwitch, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24")
    first = agent.plug(vif, vm)
    index = devices(vm.instance_id)["eth0"]["ifindex"]
    again = agent.plug(vif, vm)
    assert not again["changed"]
    assert {**again, "changed": True} == first
    assert devices(vm.instance_id)["eth0"]["ifindex"] == index


def test_an_unplug_of_what_is_not_there_is_content(agent: Agent, vm: Vm) -> None:
    vif = make_vif()
    assert not agent.unplug(vif.port_id)
    agent.plug(vif, vm)
    assert agent.unplug(vif.port_id)
    assert not agent.unplug(vif.port_id)


def test_a_vif_that_changed_is_changed_in_place(agent: Agent, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24", "10.0.0.6/24")
    agent.plug(vif, vm)
    index = devices(vm.instance_id)["eth0"]["ifindex"]
    changed = dataclasses.replace(
        make_vif("10.0.0.6/24", "10.0.0.7/24"),
        port_id=vif.port_id,
        mtu=1300,
        mac_address="fa:16:3e:99:99:99",
    )
    assert agent.plug(changed, vm)["changed"]
    nic = devices(vm.instance_id)["eth0"]
    assert (nic["ifindex"], nic["mtu"], nic["address"]) == (index, 1300, "fa:16:3e:99:99:99")
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.6/24", "10.0.0.7/24"}
    assert agent.vifs()[0]["fixed_ips"] == [
        dataclasses.asdict(fixed) for fixed in changed.fixed_ips
    ]


def test_two_vifs_of_a_vm_are_two_nics(agent: Agent, vm: Vm) -> None:
    first, second = make_vif("10.0.0.5/24"), make_vif("10.1.0.5/24")
    assert agent.plug(first, vm)["nic"] == "eth0"
    assert agent.plug(second, vm)["nic"] == "eth1"
    assert addresses(vm.instance_id, "eth1") == {"10.1.0.5/24"}
    assert agent.unplug(first.port_id)
    assert set(devices(vm.instance_id)) == {"lo", "eth1"}
    # The name that is free, as a hypervisor's next slot.
    assert agent.plug(make_vif(), vm)["nic"] == "eth0"


def test_a_hybrid_vif_has_a_bridge_between(agent: Agent, openvswitch: OpenVSwitch, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24", hybrid=True)
    plugged = agent.plug(vif, vm)
    bridge, inner, outer = (f"{kind}{vif.port_id}"[:14] for kind in ("qbr", "qvb", "qvo"))
    ports = json.loads(run("ip", "-j", "link", "show", "master", bridge))
    assert {port["ifname"] for port in ports} == {vif.device, inner}
    interface = openvswitch.interfaces()[outer]
    assert interface["external_ids"]["iface-id"] == vif.port_id
    assert interface["ofport"] == plugged["ofport"] > 0
    assert not agent.plug(vif, vm)["changed"]
    assert agent.unplug(vif.port_id)
    assert not {vif.device, bridge, inner, outer} & devices().keys()
    assert outer not in openvswitch.interfaces()


@pytest.mark.parametrize("hybrid", [False, True])
def test_vms_on_one_bridge_reach_each_other(agent: Agent, hybrid: bool) -> None:
    one, two = make_vm("one"), make_vm("two")
    agent.plug(make_vif("10.0.0.1/24", "2001:db8::1/64", hybrid=hybrid), one)
    agent.plug(make_vif("10.0.0.2/24", "2001:db8::2/64", hybrid=hybrid), two)
    assert agent.exec(one, "ping", "-c1", "-W5", "10.0.0.2").code == 0
    assert agent.exec(one, "ping", "-c1", "-W5", "2001:db8::2").code == 0


def test_tcp_works_on_the_userspace_datapath(agent: Agent) -> None:
    one, two = make_vm("one"), make_vm("two")
    agent.plug(make_vif("10.0.0.1/24"), one)
    agent.plug(make_vif("10.0.0.2/24"), two)
    with Client(agent.socket) as client:
        listener = client.start(one, "socat", "-d", "-d", "TCP-LISTEN:99", "STDOUT")
        while "listening on" not in client.said(listener, "stderr"):
            client.receive()
        text = "x" * 100_000
        sent = agent.exec(two, "socat", "STDIN", "TCP:10.0.0.1:99", stdin=text.encode())
        assert sent.code == 0
        assert client.finish(listener).stdout == text


def test_twenty_vifs_are_plugged_side_by_side(agent: Agent, openvswitch: OpenVSwitch) -> None:
    vms = [make_vm(f"vm{number}") for number in range(4)]
    vifs = [(make_vif(f"10.0.0.{number}/24"), vms[number % 4]) for number in range(1, 21)]
    with ThreadPoolExecutor(20) as pool:
        plugged = list(pool.map(lambda each: agent.plug(*each), vifs))
    assert all(vif["error"] == "" and vif["ofport"] > 0 for vif in plugged)
    for vm in vms:
        nics = {vif["nic"] for vif in plugged if vif["instance_id"] == vm.instance_id}
        assert nics == {f"eth{number}" for number in range(5)}
    assert {vif.device for vif, _ in vifs} <= openvswitch.interfaces().keys()
    assert len(agent.vifs()) == 20
    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(lambda each: agent.unplug(each[0].port_id), vifs))
    assert agent.vifs() == []


def test_one_vif_plugged_many_times_at_once_is_plugged_once(agent: Agent, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24")
    with ThreadPoolExecutor(10) as pool:
        plugged = list(pool.map(lambda _: agent.plug(vif, vm), range(10)))
    assert sum(each["changed"] for each in plugged) == 1
    assert set(devices(vm.instance_id)) == {"lo", "eth0"}


def test_plugs_and_unplugs_of_one_vif_leave_a_whole_vif_or_none(agent: Agent, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24")

    def either(number: int) -> None:
        if number % 2:
            agent.unplug(vif.port_id)
        else:
            agent.plug(vif, vm)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(either, range(40)))
    assert agent.plug(vif, vm)["error"] == ""
    assert agent.unplug(vif.port_id)
    assert vm.instance_id not in namespaces()


def test_a_failure_undoes_what_was_made(agent: Agent, openvswitch: OpenVSwitch, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24")
    details = {**vif.vif_details, "bridge_name": "no/such/bridge"}
    before = devices()
    # os-vif makes the bridge's row, but Open vSwitch can't make such a bridge.
    with pytest.raises(RefusedError) as refused:
        agent.plug(dataclasses.replace(vif, vif_details=details), vm)
    openvswitch.vsctl("--if-exists", "del-br", "no/such/bridge")
    assert refused.value.type in {"FakevmError", "WaitTimeoutError"}
    assert vif.device in str(refused.value)
    assert devices() == before
    assert vm.instance_id not in namespaces()
    assert vif.device not in openvswitch.interfaces()
    assert agent.plug(vif, vm)["error"] == ""


def test_a_failure_leaves_the_vms_other_vif(agent: Agent, vm: Vm) -> None:
    # No device takes a group's MAC.
    good, bad = make_vif("10.0.0.5/24"), make_vif(mac_address="01:00:5e:00:00:01")
    agent.plug(good, vm)
    with pytest.raises(RefusedError, match=bad.device):
        agent.plug(bad, vm)
    assert set(devices(vm.instance_id)) == {"lo", "eth0"}
    assert bad.device not in devices()
    assert [vif["port_id"] for vif in agent.vifs()] == [good.port_id]
    assert vm.instance_id in namespaces()


@pytest.mark.parametrize("vif_type", ["binding_failed", "unbound", "vhostuser", "hostdev"])
def test_a_vif_type_without_a_driver_is_a_conflict(agent: Agent, vm: Vm, vif_type: str) -> None:
    vif = make_vif(vif_type=vif_type)
    with pytest.raises(RefusedError, match=vif_type) as refused:
        agent.plug(vif, vm)
    assert refused.value.type == "ConflictError"
    assert refused.value.hint
    assert vm.instance_id not in namespaces()


def test_a_port_of_another_vm_is_a_conflict(agent: Agent, vm: Vm) -> None:
    vif = make_vif()
    agent.plug(vif, vm)
    with pytest.raises(RefusedError, match=vm.instance_id) as refused:
        agent.plug(vif, make_vm("other"))
    assert refused.value.type == "ConflictError"
    assert vif.port_id in refused.value.hint


def test_a_vif_whose_port_the_l2_agent_took_away_is_listed_and_unplugged(
    agent: Agent, openvswitch: OpenVSwitch, vm: Vm
) -> None:
    """As it does at a live migration's source when its binding is deactivated."""
    vif = make_vif("10.0.0.5/24")
    agent.plug(vif, vm)
    openvswitch.vsctl("del-port", BRIDGE, vif.device)
    (listed,) = agent.vifs()
    assert (listed["port_id"], listed["vm_name"], listed["ofport"]) == (vif.port_id, "vm1", None)
    assert "no port" in listed["error"]
    assert agent.unplug(vif.port_id)
    assert vif.device not in devices()
    assert vm.instance_id not in namespaces()


def test_a_port_that_was_taken_away_is_plugged_again(
    agent: Agent, openvswitch: OpenVSwitch, vm: Vm
) -> None:
    vif = make_vif("10.0.0.5/24")
    agent.plug(vif, vm)
    openvswitch.vsctl("del-port", BRIDGE, vif.device)
    assert agent.plug(vif, vm)["error"] == ""
    assert openvswitch.interfaces()[vif.device]["ofport"] > 0


def test_a_vif_whose_bridge_changed_moves(agent: Agent, openvswitch: OpenVSwitch, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24")
    agent.plug(vif, vm)
    openvswitch.vsctl("add-br", "br-two", "--", "set", "bridge", "br-two", "datapath_type=netdev")
    try:
        details = {**vif.vif_details, "bridge_name": "br-two"}
        assert agent.plug(dataclasses.replace(vif, vif_details=details), vm)["error"] == ""
        assert openvswitch.vsctl("list-ports", "br-two").split() == [vif.device]
        assert addresses(vm.instance_id, "eth0") == {"10.0.0.5/24"}
        agent.unplug(vif.port_id)
    finally:
        openvswitch.vsctl("del-br", "br-two")


def test_a_list_tells_what_the_l2_agent_has_done(
    agent: Agent, openvswitch: OpenVSwitch, vm: Vm
) -> None:
    vif = make_vif("10.0.0.5/24")
    assert agent.plug(vif, vm)["vlan_tag"] is None
    openvswitch.vsctl("set", "port", vif.device, "tag=7")
    assert _tag_is(agent, vif, 7)
    openvswitch.vsctl("set", "port", vif.device, "tag=4095")
    assert _tag_is(agent, vif, None)
    assert agent.vifs(port_id=make_vif().port_id) == []


def _tag_is(agent: Agent, vif: Vif, tag: int | None) -> bool:
    """Ask until it is so: ovs-vsctl returns before the agent's copy of the database has it."""
    return any(agent.vifs(port_id=vif.port_id)[0]["vlan_tag"] == tag for _ in range(1000))


def test_one_connection_to_the_database_is_enough(
    agent: Agent, openvswitch: OpenVSwitch, vm: Vm
) -> None:
    def connections() -> int:
        path = openvswitch.connection.removeprefix("unix:")
        return sum(line.endswith(f" {path}") for line in run("cat", "/proc/net/unix").splitlines())

    before = connections()
    agent.plug(make_vif(), vm)
    assert connections() == before


def _static(address: str, prefix: int, *, gateway: str) -> FixedIp:
    return FixedIp(
        ip_address=address,
        prefix_len=prefix,
        subnet_id="s",
        gateway_ip=gateway,
        method="static",
    )
