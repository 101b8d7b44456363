"""VIFs that Open vSwitch has no part in, and drivers that a package brings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakevm.model import Vif, Vm
from tests.functional.agent import Agent, RefusedError
from tests.functional.conftest import lose_all, make_vif, nothing_left
from tests.functional.openvswitch import OpenVSwitch, run
from tests.functional.seen import addresses, devices, namespaces

# A package as pip leaves it: a module, and its entry points.
_PLUGIN = """\
from fakevm_agent.vif.driver import Driver

class Lane(Driver):
    def plug(self, vif, vm):
        raise KeyError("lane")

    def unplug(self, vif, vm):
        pass

class Lost(Lane):
    def __init__(self, osvif):
        raise OSError("no switch")
"""
_ENTRY_POINTS = """\
[fakevm.vif_drivers]
lane = lane:Lane
lost = lane:Lost
away = not_there:Away
"""


@pytest.fixture(params=["bridge", "tap"])
def vif(request: pytest.FixtureRequest) -> Iterator[Vif]:
    kind: str = request.param
    vif = make_vif("10.0.0.5/24", vif_type=kind, vif_details={"port_filter": True})
    yield vif
    # The network's, which stays when a port goes.
    if kind == "bridge":
        run("ip", "link", "delete", _bridge(vif))


def test_a_vif_without_a_port_in_open_vswitch_is_like_any_other(
    agent: Agent, openvswitch: OpenVSwitch, vm: Vm, vif: Vif
) -> None:
    plugged = agent.plug(vif, vm)
    if vif.vif_type == "bridge":
        assert _ports(_bridge(vif)) == [vif.device]
    assert plugged["error"] == ""
    assert not plugged["in_open_vswitch"]
    assert (plugged["ofport"], plugged["vlan_tag"]) == (None, None)
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.5/24"}
    assert vif.device not in openvswitch.interfaces()
    assert not agent.plug(vif, vm)["changed"]
    assert agent.vifs() == [{key: plugged[key] for key in agent.vifs()[0]}]

    agent.call("suspend", instance_id=vm.instance_id)
    assert agent.vifs()[0]["paused"]
    agent.call("resume", instance_id=vm.instance_id)
    assert addresses(vm.instance_id, "eth0") == {"10.0.0.5/24"}

    assert agent.unplug(vif.port_id)
    assert vif.device not in devices()
    assert vm.instance_id not in namespaces()
    assert vif.port_id not in openvswitch.vsctl("list", "Open_vSwitch")
    assert not agent.unplug(vif.port_id)


def test_after_a_restart_of_the_host_it_is_made_again(
    mortal_agent: Agent, openvswitch: OpenVSwitch, vm: Vm, vif: Vif
) -> None:
    agent = mortal_agent
    agent.plug(vif, vm)
    before = agent.vifs()
    agent.stop()
    lose_all([(vif, vm)])
    agent.start()
    assert agent.vifs() == before
    if vif.vif_type == "bridge":
        assert _ports(_bridge(vif)) == [vif.device]
    # Of a port that is gone nothing stays.
    agent.call("cleanup", keep=[], dry_run=False)
    assert vif.port_id not in openvswitch.vsctl("list", "Open_vSwitch")


def test_a_vif_that_open_vswitch_has_later_is_plugged_there(
    agent: Agent, openvswitch: OpenVSwitch, vm: Vm
) -> None:
    vif = make_vif("10.0.0.5/24", vif_type="tap")
    agent.plug(vif, vm)
    assert agent.plug(make_vif("10.0.0.5/24", port_id=vif.port_id), vm)["ofport"] > 0
    assert vif.device in openvswitch.interfaces()
    assert agent.plug(vif, vm)["ofport"] is None
    assert vif.device not in openvswitch.interfaces()


def test_a_package_s_driver_that_fails_is_undone_and_told(
    openvswitch: OpenVSwitch, tmp_path: Path, vm: Vm
) -> None:
    (tmp_path / "lane.py").write_text(_PLUGIN)
    (tmp_path / "lane-1.dist-info").mkdir()
    (tmp_path / "lane-1.dist-info/METADATA").write_text("Name: lane\nVersion: 1\n")
    (tmp_path / "lane-1.dist-info/entry_points.txt").write_text(_ENTRY_POINTS)
    agent = Agent(tmp_path, openvswitch.connection)
    path = f"{tmp_path}:{os.environ['PYTHONPATH']}"
    with nothing_left(openvswitch):
        agent.start(environment={"PYTHONPATH": path})
        vif = make_vif("10.0.0.5/24", vif_type="lane")
        with pytest.raises(RefusedError, match="VIF driver lane: plug failed: KeyError: 'lane'"):
            agent.plug(vif, vm)
        with pytest.raises(RefusedError, match="no VIF driver for vif_type lost"):
            agent.plug(make_vif(vif_type="lost"), vm)
        # What others plug goes on.
        known = make_vif("10.0.0.5/24")
        assert agent.plug(known, vm)["error"] == ""
        agent.unplug(known.port_id)
        assert agent.stop() == 0
    for words in ('raise KeyError("lane")', "no switch", "No module named 'not_there'"):
        assert words in agent.log()


def _bridge(vif: Vif) -> str:
    return f"brq{vif.network_id}"[:14]


def _ports(bridge: str) -> list[str]:
    found = json.loads(run("ip", "-j", "link", "show", "master", bridge))
    return [port["ifname"] for port in found]
