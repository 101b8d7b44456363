"""What restarts: the agent, the whole host, ovs-vswitchd, ovsdb-server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from fakevm.model import FixedIp, Vif, Vm
from tests.functional.agent import Agent, Client, RefusedError, ended
from tests.functional.conftest import delete_link, lose_all, make_vif, make_vm
from tests.functional.openvswitch import OpenVSwitch, run
from tests.functional.seen import addresses, devices, namespaces, routes
from tests.waiting import wait_until


def test_a_restart_of_the_agent_changes_nothing(
    mortal_agent: Agent, openvswitch: OpenVSwitch, vm: Vm
) -> None:
    agent, vif = mortal_agent, make_vif("10.0.0.5/24")
    agent.plug(vif, vm)
    daemon = ["sh", "-c", "sleep 3600 >/dev/null 2>&1 & echo $!"]
    pid = int(agent.exec(vm, *daemon).stdout)
    before = agent.vifs(), devices(vm.instance_id)["eth0"]["ifindex"], openvswitch.ports()
    assert agent.stop() == 0
    assert not agent.socket.exists()
    agent.start()
    after = agent.vifs(), devices(vm.instance_id)["eth0"]["ifindex"], openvswitch.ports()
    assert after == before
    assert not ended(pid)
    assert not agent.plug(vif, vm)["changed"]


def test_a_killed_agent_takes_commands_along_and_leaves_vms(mortal_agent: Agent, vm: Vm) -> None:
    agent = mortal_agent
    agent.plug(make_vif("10.0.0.5/24"), vm)
    with Client(agent.socket) as client:
        number = client.start(vm, "sh", "-c", "echo $$; exec sleep 3600")
        pid = int(client.read_until(number, b"\n"))
        assert agent.stop(signal.SIGKILL) == -signal.SIGKILL
    _wait_until_ended(pid)
    agent.start()
    assert agent.vifs()[0]["error"] == ""
    assert agent.exec(vm, "true").code == 0


def test_a_restart_of_the_host_makes_its_vms_again(
    mortal_agent: Agent, openvswitch: OpenVSwitch
) -> None:
    agent = mortal_agent
    one, two = make_vm("one"), make_vm("two")
    vifs = {
        "a": (make_vif("10.0.0.1/24", "2001:db8::1/64"), one),
        "b": (make_vif("10.1.0.1/24"), one),
        "c": (make_vif("10.0.0.2/24"), two),
        "d": (make_vif("10.2.0.2/24", hybrid=True), two),
    }
    for vif, vm in vifs.values():
        agent.plug(vif, vm)
    before = agent.vifs()
    agent.stop()
    lose_all(vifs.values())
    agent.start()
    for vif, _ in vifs.values():
        _wait_until_whole(agent, vif)
    # All but OVS's own numbering is as it was.
    assert [{**vif, "ofport": 0} for vif in agent.vifs()] == [
        {**vif, "ofport": 0} for vif in before
    ]
    assert addresses(one.instance_id, "eth0") == {"10.0.0.1/24", "2001:db8::1/64"}
    assert agent.exec(one, "hostname").stdout == "one\n"
    assert agent.exec(one, "ping", "-c1", "-W5", "10.0.0.2").code == 0
    for vif, vm in vifs.values():
        assert not agent.plug(vif, vm)["changed"]


def test_a_device_that_vswitchd_sets_down_when_it_opens_it_is_set_up_again(
    mortal_agent: Agent, openvswitch: OpenVSwitch, vm: Vm
) -> None:
    """It writes back flags that it read before the device was up (netdev_turn_flags_on)."""
    vif = make_vif("10.0.0.1/24")
    mortal_agent.plug(vif, vm)
    mortal_agent.stop()
    openvswitch.stop_vswitchd()
    lose_all([(vif, vm)])
    openvswitch.start_vswitchd()
    openvswitch.settle()
    vswitchd = openvswitch.pid("ovs-vswitchd")
    os.kill(vswitchd, signal.SIGSTOP)
    try:
        mortal_agent.start(until="agent.sock")
        wait_until("the device up", lambda: _is_up(vif.device))
        run("ip", "link", "set", vif.device, "down")
    finally:
        os.kill(vswitchd, signal.SIGCONT)
    mortal_agent.wait_until_said("ready")
    wait_until("the device up", lambda: _is_up(vif.device))
    two = make_vm("two")
    mortal_agent.plug(make_vif("10.0.0.2/24"), two)
    assert mortal_agent.exec(vm, "ping", "-c1", "-W5", "10.0.0.2").code == 0


def test_a_restart_of_the_host_brings_gateways_back(mortal_agent: Agent, vm: Vm) -> None:
    fixed = FixedIp(
        ip_address="10.0.0.5", prefix_len=24, subnet_id="s", gateway_ip="10.0.0.1", method="static"
    )
    vif = make_vif(fixed_ips=(fixed,))
    mortal_agent.plug(vif, vm)
    mortal_agent.stop()
    lose_all([(vif, vm)])
    mortal_agent.start()
    assert routes(vm.instance_id)[0]["gateway"] == "10.0.0.1"


def test_a_vm_that_is_lost_while_the_agent_runs_is_plugged_again(agent: Agent, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24")
    agent.plug(vif, vm)
    run("ip", "netns", "del", vm.instance_id)
    delete_link(vif.device)
    (listed,) = agent.vifs()
    assert "missing" in listed["error"]
    assert agent.plug(vif, vm)["changed"]
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.5/24"}
    # Open vSwitch had the old device open.
    two = make_vm("two")
    agent.plug(make_vif("10.0.0.6/24"), two)
    assert agent.exec(vm, "ping", "-c1", "-W5", "10.0.0.6").code == 0


def test_a_restart_of_vswitchd_gives_vms_their_network_back(
    agent: Agent, openvswitch: OpenVSwitch
) -> None:
    one, two = make_vm("one"), make_vm("two")
    vif = make_vif("10.0.0.1/24")
    agent.plug(vif, one)
    agent.plug(make_vif("10.0.0.2/24"), two)
    openvswitch.stop_vswitchd()
    assert agent.exec(one, "ping", "-c1", "-W1", "10.0.0.2").code != 0
    openvswitch.start_vswitchd()
    assert agent.exec(one, "ping", "-c1", "-w20", "10.0.0.2").code == 0
    _wait_until_whole(agent, vif)


def test_a_dead_vswitchd_is_told_and_leaves_nothing(
    openvswitch: OpenVSwitch, tmp_path: Path, vm: Vm
) -> None:
    # os-vif waits for it, too, when it plugs and when it undoes that.
    agent = Agent(tmp_path, openvswitch.connection, ovsdb_timeout=2, ofport_timeout=1)
    agent.start()
    openvswitch.stop_vswitchd()
    try:
        with pytest.raises(RefusedError, match="ovs-vswitchd") as refused:
            agent.plug(make_vif(), vm)
        assert refused.value.type == "WaitTimeoutError"
        assert "ovs-vswitchd" in refused.value.hint
        assert agent.vifs() == []
        assert vm.instance_id not in namespaces()
    finally:
        openvswitch.start_vswitchd()
    assert agent.stop() == 0


def test_a_dead_database_is_told_at_once(agent: Agent, openvswitch: OpenVSwitch, vm: Vm) -> None:
    vif = make_vif("10.0.0.5/24")
    agent.plug(vif, vm)
    with openvswitch.without_database():
        for method, params in (
            ("plug", {"vif": asdict(make_vif()), "vm": asdict(make_vm())}),
            ("unplug", {"port_id": vif.port_id}),
            ("list", {}),
            ("info", {}),
        ):
            with pytest.raises(RefusedError, match="ovsdb-server") as refused:
                agent.call(method, **params)
            assert refused.value.type == "UnavailableError"
            assert "ovsdb-server" in refused.value.hint
        # A VM needs no database.
        assert agent.exec(vm, "true").code == 0
    _wait_until_answered(agent)
    assert agent.plug(vif, vm)["error"] == ""
    assert agent.unplug(vif.port_id)


def test_a_hanging_database_is_told_after_a_timeout(
    openvswitch: OpenVSwitch, tmp_path: Path, vm: Vm
) -> None:
    agent = Agent(tmp_path, openvswitch.connection, ovsdb_timeout=2)
    agent.start()
    try:
        subprocess.run(["kill", "-STOP", str(openvswitch.pid("ovsdb-server"))], check=True)
        with pytest.raises(RefusedError) as refused:
            agent.plug(make_vif(), vm)
        assert refused.value.type == "UnavailableError"
    finally:
        subprocess.run(["kill", "-CONT", str(openvswitch.pid("ovsdb-server"))], check=True)
    _wait_until_answered(agent)
    agent.call("cleanup", keep=[])
    assert agent.stop() == 0
    assert vm.instance_id not in namespaces()


def test_an_agent_waits_for_its_database(openvswitch: OpenVSwitch, tmp_path: Path, vm: Vm) -> None:
    agent = Agent(tmp_path, openvswitch.connection, ovsdb_timeout=1)
    with openvswitch.without_database():
        agent.start(until="waiting")
        with pytest.raises(RefusedError) as refused:
            agent.plug(make_vif(), vm)
        assert refused.value.type == "UnavailableError"
    agent.wait_until_said("ready")
    vif = make_vif()
    assert agent.plug(vif, vm)["error"] == ""
    assert agent.unplug(vif.port_id)
    assert agent.stop() == 0


def test_an_agent_that_waits_ends_when_it_is_told(openvswitch: OpenVSwitch, tmp_path: Path) -> None:
    agent = Agent(tmp_path, f"unix:{tmp_path}/nothing.sock")
    agent.start(until="waiting")
    assert agent.stop() == 0


def test_interfaces_of_others_are_left_alone(mortal_agent: Agent, openvswitch: OpenVSwitch) -> None:
    """A DHCP agent's: it has the keys of a Neutron port, but nobody's VM."""
    other = make_vif()
    openvswitch.vsctl(
        *("add-port", "br-int", other.device, "--", "set", "Interface", other.device),
        *("type=internal", f"external_ids:iface-id={other.port_id}"),
    )
    try:
        mortal_agent.stop()
        mortal_agent.start()
        assert mortal_agent.vifs() == []
        assert mortal_agent.call("cleanup", keep=[])["removed"] == []
        assert other.device in openvswitch.interfaces()
    finally:
        openvswitch.vsctl("del-port", other.device)


def _is_up(device: str) -> bool:
    found = json.loads(run("ip", "-j", "link", "show"))
    return any(link["ifname"] == device and "UP" in link["flags"] for link in found)


def _wait_until_whole(agent: Agent, vif: Vif) -> None:
    """ovs-vswitchd sees a device come by itself; ask until it has."""
    for _ in range(2000):
        (found,) = agent.vifs(port_id=vif.port_id)
        if not found["error"] and (found["ofport"] or 0) > 0:
            return
    raise AssertionError(found)


def _wait_until_answered(agent: Agent) -> None:
    """Ask until the agent has its connection again; ovsdbapp tries once in a second or more."""
    with Client(agent.socket) as client:
        for _ in range(20000):
            with suppress(RefusedError):
                client.call("info")
                return
    raise AssertionError("the agent has no connection to the database")


def _wait_until_ended(pid: int) -> None:
    for _ in range(100_000):
        if ended(pid):
            return
    raise AssertionError(f"process {pid} lives")
