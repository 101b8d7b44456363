"""What is left of ports that are gone is removed; what a port still needs is not."""

from __future__ import annotations

import subprocess

from fakevm.model import Vm
from tests.functional.agent import Agent
from tests.functional.conftest import make_vif, make_vm
from tests.functional.openvswitch import BRIDGE, OpenVSwitch, run
from tests.functional.seen import devices, namespaces

SLEEP = ("sh", "-c", "sleep 3600 >/dev/null 2>&1 &")


def test_a_gone_ports_things_are_named_then_removed(agent: Agent, openvswitch: OpenVSwitch) -> None:
    kept, gone, both = make_vm("kept"), make_vm("gone"), make_vm("both")
    vifs = [make_vif(), make_vif(), make_vif(), make_vif(hybrid=True)]
    for vif, vm in zip(vifs, (kept, gone, both, both), strict=True):
        agent.plug(vif, vm)
    agent.exec(gone, *SLEEP)
    keep = [vifs[0].port_id, vifs[2].port_id]
    before = devices(), namespaces(), openvswitch.ports()
    named = agent.call("cleanup", keep=keep, dry_run=True)["removed"]
    assert (devices(), namespaces(), openvswitch.ports()) == before
    found = {(item["kind"], item["name"]) for item in named if item["kind"] != "process"}
    hybrid = {kind: f"{kind}{vifs[3].port_id}"[:14] for kind in ("qbr", "qvb", "qvo")}
    assert found == {
        ("interface", vifs[1].device),
        ("device", vifs[1].device),
        ("netns", gone.instance_id),
        ("interface", hybrid["qvo"]),
        ("device", vifs[3].device),
        ("device", hybrid["qvb"]),
        ("bridge", hybrid["qbr"]),
    }
    processes = [item["name"] for item in named if item["kind"] == "process"]
    assert len(processes) == 1
    assert processes[0].startswith("sleep (")
    assert agent.call("cleanup", keep=keep, dry_run=False)["removed"] == named
    assert {vif["port_id"] for vif in agent.vifs()} == set(keep)
    assert gone.instance_id not in namespaces()
    assert {kept.instance_id, both.instance_id} <= set(namespaces())
    assert not {vifs[1].device, vifs[3].device, *hybrid.values()} & devices().keys()
    assert agent.call("cleanup", keep=keep)["removed"] == []


def test_only_some_ports_things_are_removed_if_asked_so(agent: Agent) -> None:
    first, second = make_vif(), make_vif()
    one, two = make_vm("one"), make_vm("two")
    agent.plug(first, one)
    agent.plug(second, two)
    removed = agent.call("cleanup", keep=[], only=[first.port_id])["removed"]
    assert [(item["kind"], item["name"]) for item in removed] == [
        ("interface", first.device),
        ("device", first.device),
        ("netns", one.instance_id),
    ]
    assert [vif["port_id"] for vif in agent.vifs()] == [second.port_id]
    assert two.instance_id in namespaces()


def test_what_was_made_by_half_is_removed(agent: Agent, openvswitch: OpenVSwitch, vm: Vm) -> None:
    vif = make_vif()
    agent.plug(vif, vm)
    # The agent died between os-vif's work and its own record.
    openvswitch.vsctl("remove", "Port", vif.device, "external_ids", "fakevm")
    run("ip", "link", "del", vif.device)
    found = {item["kind"] for item in agent.call("cleanup", keep=[])["removed"]}
    assert found == {"interface", "netns"}
    assert vif.device not in openvswitch.interfaces()
    assert vm.instance_id not in namespaces()


def test_what_is_not_the_agents_is_left_alone(agent: Agent, openvswitch: OpenVSwitch) -> None:
    other = make_vif()
    subprocess.run(["ip", "netns", "add", "qdhcp-test"], check=True)
    run("ip", "link", "add", other.device, "type", "veth", "peer", "name", "ns-test")
    openvswitch.vsctl(
        *("add-port", BRIDGE, other.device, "--", "set", "Interface", other.device),
        *(f"external_ids:iface-id={other.port_id}", "external_ids:iface-status=active"),
    )
    try:
        assert agent.call("cleanup", keep=[])["removed"] == []
        assert other.device in devices()
        assert "qdhcp-test" in namespaces()
    finally:
        openvswitch.vsctl("del-port", other.device)
        run("ip", "link", "del", other.device)
        run("ip", "netns", "del", "qdhcp-test")
