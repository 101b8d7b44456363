"""VMs that are on other hosts by now, as Neutron says when the agent starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakevm.model import Vm
from tests.fakes.neutron_api import NeutronApi
from tests.functional.agent import Agent, Client
from tests.functional.conftest import lose_all, make_vif, make_vm, nothing_left
from tests.functional.openvswitch import OpenVSwitch
from tests.functional.seen import devices, namespaces

# The agent's host is called so.
HERE = "tester"


@contextmanager
def an_agent(openvswitch: OpenVSwitch, folder: Path, api: NeutronApi) -> Iterator[Agent]:
    agent = Agent(folder, openvswitch.connection, neutron_url=api.url)
    with nothing_left(openvswitch):
        agent.start()
        yield agent
        agent.call("cleanup", keep=[])
        assert agent.stop() == 0
    assert "Traceback" not in agent.log(), agent.log()


def test_an_evacuated_vm_is_not_made_again(openvswitch: OpenVSwitch, tmp_path: Path) -> None:
    with NeutronApi() as api, an_agent(openvswitch, tmp_path, api) as agent:
        gone, stays = make_vm("gone"), make_vm("stays")
        first, second, mine = make_vif("10.0.0.1/24"), make_vif(), make_vif("10.0.0.2/24")
        for vif, vm in ((first, gone), (second, gone), (mine, stays)):
            agent.plug(vif, vm)
        agent.stop()
        lose_all([(first, gone), (second, gone), (mine, stays)])
        api.ports = {first.port_id: ("b",), second.port_id: ("b",), mine.port_id: (HERE,)}
        agent.start()
        assert [vif["port_id"] for vif in agent.vifs()] == [mine.port_id]
        assert gone.instance_id not in namespaces()
        assert {first.device, second.device}.isdisjoint(openvswitch.ports())
        assert {first.device, second.device}.isdisjoint(devices())
        assert agent.exec(stays, "true").code == 0


def test_a_vm_that_still_runs_here_and_there_ends_here(
    openvswitch: OpenVSwitch, tmp_path: Path, vm: Vm
) -> None:
    """Its host was cut off, not down, and only the agent starts anew."""
    with NeutronApi() as api, an_agent(openvswitch, tmp_path, api) as agent:
        vif = make_vif("10.0.0.1/24")
        agent.plug(vif, vm)
        agent.stop()
        api.ports = {vif.port_id: ("b",)}
        agent.start()
        assert agent.vifs() == []
        assert vm.instance_id not in namespaces()
        assert vif.device not in openvswitch.ports()


def test_what_neutron_does_not_have_elsewhere_stays(
    openvswitch: OpenVSwitch, tmp_path: Path, vm: Vm
) -> None:
    with NeutronApi() as api, an_agent(openvswitch, tmp_path, api) as agent:
        deleted, arriving, unbound = make_vif(), make_vif(), make_vif()
        with Client(agent.socket) as client:
            for vif in (deleted, arriving, unbound):
                params = {"vif": vars(vif), "vm": vars(vm), "paused": vif is arriving}
                client.call("plug", **params)
        before = agent.vifs()
        agent.stop()
        api.ports = {arriving.port_id: ("b", HERE), unbound.port_id: ("",)}
        agent.start()
        assert agent.vifs() == before


def test_vms_do_not_wait_for_a_neutron_that_hangs(openvswitch: OpenVSwitch, tmp_path: Path) -> None:
    with NeutronApi() as api, an_agent(openvswitch, tmp_path, api) as agent:
        gone, stays = make_vm("gone"), make_vm("stays")
        left, mine = make_vif(), make_vif()
        agent.plug(left, gone)
        agent.plug(mine, stays)
        agent.stop()
        lose_all([(left, gone), (mine, stays)])
        api.ports = {left.port_id: ("b",), mine.port_id: (HERE,)}
        api.answering.clear()
        agent.start()
        assert {vif["port_id"] for vif in agent.vifs()} == {left.port_id, mine.port_id}
        assert agent.exec(stays, "true").code == 0
        # It answers at last.
        api.answering.set()
        agent.wait_until_said("is on b by now")
        assert [vif["port_id"] for vif in agent.vifs()] == [mine.port_id]
        assert gone.instance_id not in namespaces()


def test_a_neutron_that_fails_at_first_is_asked_again(
    openvswitch: OpenVSwitch, tmp_path: Path, vm: Vm
) -> None:
    with NeutronApi() as api, an_agent(openvswitch, tmp_path, api) as agent:
        vif = make_vif()
        agent.plug(vif, vm)
        agent.stop()
        api.ports, api.status = {vif.port_id: ("b",)}, 503
        agent.start()
        assert [one["port_id"] for one in agent.vifs()] == [vif.port_id]
        api.status = 200
        agent.wait_until_said("is on b by now")
        assert agent.vifs() == []


def test_an_agent_ends_while_it_asks(openvswitch: OpenVSwitch, tmp_path: Path, vm: Vm) -> None:
    with NeutronApi() as api, an_agent(openvswitch, tmp_path, api) as agent:
        vif = make_vif()
        agent.plug(vif, vm)
        agent.stop()
        api.answering.clear()
        agent.start()
        # Its question ends with its timeout.
        assert agent.stop() == 0
        api.answering.set()
        agent.start()


def test_a_host_without_vms_asks_nothing(openvswitch: OpenVSwitch, tmp_path: Path) -> None:
    with NeutronApi() as api, an_agent(openvswitch, tmp_path, api) as agent:
        agent.stop()
        agent.start()
        assert agent.vifs() == []
        assert api.queries == []
