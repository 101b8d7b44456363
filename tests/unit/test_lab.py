"""The verbs of a lab, on fakes that keep state."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from fakevm.errors import (
    ConfigError,
    ConflictError,
    FakevmError,
    NotFoundError,
    UnavailableError,
    WaitTimeoutError,
)
from fakevm.inventory.vifs import vm_of
from fakevm.lab import Lab
from fakevm.neutron.values import Network, Port
from fakevm.protocol.lock import exclusive_vm
from fakevm.vms.requests import PortRequest
from tests.fakes.engine import FakeEngine, make_container
from tests.fakes.neutron import FakeNeutron, make_network, make_subnet
from tests.unit.conftest import World
from tests.waiting import wait_until

REQUEST = PortRequest(network="net", instance="vm", host="compute-1")


def nothing_is_left(world: World) -> bool:
    return not world.neutron.ports_by_id and not any(h.vifs_by_port for h in world.hosts.values())


def create(lab: Lab, **wishes: object) -> str:
    return lab.create_port(replace(REQUEST, **wishes)).row.port_id  # type: ignore[arg-type]


def test_a_created_port_is_plugged_active_and_configured(lab: Lab, world: World) -> None:
    created = lab.create_port(replace(REQUEST, name="p"))
    row = created.row
    assert (row.host, row.plugged_host, row.status) == ("compute-1", "compute-1", "ACTIVE")
    assert (row.name, row.vm_name, row.network, row.differs) == ("p", "vm", "net", "")
    assert row.addresses == ("10.0.1.101/24",)
    assert world.neutron.ports_by_id[row.port_id].device_owner == "compute:nova"
    methods = [method for method, _ in world.hosts["compute-1"].calls]
    assert methods == ["plug", "resume", "configure", "list"]


def test_a_port_has_an_address_of_every_subnet_of_its_network(lab: Lab, world: World) -> None:
    world.neutron.networks["two"] = make_network("two", make_subnet(1), make_subnet(2))
    row = lab.create_port(replace(REQUEST, network="two")).row
    assert row.addresses == ("10.0.1.101/24", "10.0.2.101/24")


def test_a_second_port_is_a_second_nic_of_the_same_vm(lab: Lab, world: World) -> None:
    create(lab)
    row = lab.create_port(replace(REQUEST, host=None)).row
    assert (row.host, row.nic) == ("compute-1", "eth1")
    with pytest.raises(ConflictError, match="is on compute-1, not on compute-2"):
        create(lab, host="compute-2")


def test_a_port_is_found_by_its_vm_too(lab: Lab) -> None:
    port_id = create(lab, name="p")
    vm = lab.find(port_id).device_id
    assert [lab.find(ref).id for ref in ("p", "vm", vm)] == [port_id] * 3
    other = create(lab)
    with pytest.raises(ConflictError, match="VM vm has several ports") as caught:
        lab.delete_port("vm")
    assert port_id in str(caught.value)
    assert other in str(caught.value)
    assert lab.located("vm")[0] in (port_id, other)
    for nobody in ("nobody", " ", "\n"):
        with pytest.raises(NotFoundError, match="there is no port"):
            lab.find(nobody)


def test_a_vm_s_name_wins_over_the_beginning_of_another_s_port(lab: Lab, world: World) -> None:
    create(lab)
    (other,) = world.neutron.ports_by_id
    mine = create(lab, instance=other[:4])
    assert lab.find(other[:4]).id == mine
    assert lab.find(other[:8]).id == other
    assert lab.delete_port(other[:4]) == mine
    assert lab.find(other[:4]).id == other


def test_a_vm_without_a_host_goes_to_the_least_busy_healthy_one(lab: Lab, world: World) -> None:
    world.engine.end("compute-2")
    create(lab)
    row = lab.create_port(replace(REQUEST, instance="other", host=None)).row
    assert row.host == "compute-3"
    assert "host: compute-3" in world.said


def test_the_time_is_split(lab: Lab) -> None:
    timings = lab.create_port(REQUEST).timings
    parts = (timings.startup_s, timings.neutron_s, timings.plug_s, timings.active_s)
    rest = timings.configure_s + timings.other_s
    assert sum(parts) + rest == pytest.approx(timings.total_s, abs=0.001)


@pytest.mark.parametrize("method", ["plug", "configure", "list"])
def test_a_failure_on_the_host_leaves_nothing(lab: Lab, world: World, method: str) -> None:
    world.hosts["compute-1"].broken[method] = ConflictError("no")
    with pytest.raises(ConflictError, match="compute-1: no"):
        create(lab)
    assert nothing_is_left(world)


def test_a_port_that_does_not_get_active_leaves_nothing(lab: Lab, world: World) -> None:
    world.neutron.broken["wait_until_active"] = WaitTimeoutError("DOWN")
    with pytest.raises(WaitTimeoutError):
        create(lab)
    assert nothing_is_left(world)


def test_what_did_not_come_is_told_with_the_services_that_are_ill(world: World) -> None:
    world.neutron.broken["wait_until_active"] = WaitTimeoutError("DOWN")
    world.engine.end("neutron-rpc")
    world.engine.all_containers = [
        replace(one, health="unhealthy") if one.service == "rabbitmq" else one
        for one in world.engine.all_containers
    ]
    with pytest.raises(WaitTimeoutError) as caught, world.lab() as lab:
        create(lab)
    assert caught.value.__notes__ == [
        "rabbitmq is unhealthy: docker logs fakevm-rabbitmq-1",
        "neutron-rpc is exited: docker start fakevm-neutron-rpc-1",
    ]


def test_what_is_named_already_is_not_named_again(world: World) -> None:
    world.engine.end("neutron-rpc")
    with pytest.raises(UnavailableError) as caught, world.lab() as lab:
        lab.service("neutron-rpc")
    assert not hasattr(caught.value, "__notes__")


def test_a_binding_that_fails_leaves_nothing_and_says_why(lab: Lab, world: World) -> None:
    world.neutron.alive["compute-1"] = False
    with pytest.raises(ConflictError, match="its neutron-openvswitch-agent is down"):
        create(lab)
    assert nothing_is_left(world)


@pytest.mark.parametrize("method", ["plug", "configure"])
def test_a_host_that_stops_meanwhile_is_told_and_the_port_deleted(
    lab: Lab, world: World, method: str
) -> None:
    agent = world.agents["compute-1"]
    agent.host.before = lambda called: agent.die() if called == method else None
    with pytest.raises(UnavailableError, match="compute-1"):
        create(lab)
    assert world.neutron.ports_by_id == {}


@pytest.mark.parametrize("step", ["create_port", "plug", "configure"])
def test_an_interrupt_leaves_nothing(lab: Lab, world: World, step: str) -> None:
    def interrupt(called: str) -> None:
        if called == step:
            os.kill(os.getpid(), signal.SIGINT)

    world.neutron.before = interrupt
    world.hosts["compute-1"].before = interrupt
    with pytest.raises(KeyboardInterrupt):
        create(lab)
    assert nothing_is_left(world)


def test_an_undo_that_fails_is_told_with_the_error(lab: Lab, world: World) -> None:
    world.hosts["compute-1"].broken["plug"] = ConflictError("no room")
    world.neutron.broken["delete_port"] = UnavailableError("Neutron is gone")
    with pytest.raises(ConflictError, match="no room") as caught:
        create(lab)
    assert caught.value.__notes__ == ["and not all could be undone: Neutron is gone"]


@pytest.mark.parametrize(
    ("wishes", "error", "words"),
    [
        ({"network": "nowhere"}, NotFoundError, "nowhere"),
        ({"host": "compute-9"}, NotFoundError, "compute-1, compute-2, compute-3"),
        ({"instance": ""}, ConfigError, "name"),
        ({"fixed_ips": ("10.0.0.999",)}, ConfigError, "10.0.0.999"),
    ],
)
def test_a_request_that_cannot_be_changes_nothing(
    lab: Lab, world: World, wishes: dict[str, object], error: type[FakevmError], words: str
) -> None:
    with pytest.raises(error, match=words):
        create(lab, **wishes)
    assert world.neutron.writes == []


def test_no_router_on_a_slaac_subnet_is_a_warning(lab: Lab, world: World) -> None:
    subnet = make_subnet(
        2,
        cidr="fd00::/64",
        ip_version=6,
        ipv6_address_mode="slaac",
        ipv6_ra_mode="slaac",
    )
    world.neutron.networks["six"] = make_network("six", subnet)
    row = lab.create_port(replace(REQUEST, network="six", fixed_ips=("fd00::5",))).row
    assert row.addresses == ()
    assert "warning: no router is on subnet fd00::/64: no address by SLAAC" in world.said


def test_delete_unplugs_first_and_is_content_without_the_vif(lab: Lab, world: World) -> None:
    first, second = create(lab), create(lab)
    lab.unplug(first)
    assert lab.delete_ports([first, second]) == ([first, second], [])
    assert nothing_is_left(world)


def test_delete_is_content_with_a_host_that_has_stopped(lab: Lab, world: World) -> None:
    port_id = create(lab)
    world.engine.end("compute-1")
    with world.lab() as later:
        later.delete_port(port_id)
    assert world.neutron.ports_by_id == {}
    assert any("compute-1 is exited" in text and "cleanup" in text for text in world.said)


def test_a_port_that_is_not_there_does_not_keep_the_others(lab: Lab, world: World) -> None:
    port_id = create(lab)
    deleted, failures = lab.delete_ports(["nobody", port_id, "nothing"])
    assert deleted == [port_id]
    assert ["nobody" in str(failures[0]), "nothing" in str(failures[1])] == [True, True]
    assert nothing_is_left(world)


def test_plug_binds_a_port_that_is_unbound(lab: Lab, world: World) -> None:
    body = {"network_id": make_network().id, "fixed_ips": [{"subnet_id": make_subnet().id}]}
    port = world.neutron.create_port(body)
    row = lab.plug(port.id, host="compute-2")
    assert (row.host, row.plugged_host, row.status) == ("compute-2", "compute-2", "ACTIVE")
    assert world.neutron.ports_by_id[port.id].device_owner == "compute:nova"
    assert row.instance_id


def test_a_port_that_is_down_is_plugged_and_not_waited_for(lab: Lab, world: World) -> None:
    body = {"network_id": make_network().id, "admin_state_up": False}
    port = world.neutron.create_port(body)
    for again in (False, True):
        row = lab.plug(port.id) if again else lab.attach("vm", port.id, host="compute-2")
        assert (row.plugged_host, row.status, row.addresses) == ("compute-2", "DOWN", ())
        # Its clients ask until it is up.
        assert world.hosts["compute-2"].vifs_by_port[port.id].configured
        lab.unplug(port.id)
    world.hosts["compute-2"].broken["configure"] = ConflictError("no")
    with pytest.raises(ConflictError, match="no"):
        lab.plug(port.id)


def test_a_port_that_is_no_vms_is_not_deleted(lab: Lab, world: World) -> None:
    body = {"network_id": make_network().id, "device_owner": "network:dhcp"}
    port = world.neutron.create_port(body)
    with pytest.raises(NotFoundError):
        lab.delete_port(port.id[:6])
    with pytest.raises(ConflictError, match="network:dhcp"):
        lab.delete_port(port.id)
    assert port.id in world.neutron.ports_by_id


def test_a_lab_connects_again_to_an_agent_that_ended(lab: Lab, world: World) -> None:
    port_id = create(lab)
    agent = lab.agent("compute-1")
    agent.close()
    deadline = time.monotonic() + 10
    while not agent.lost:
        assert time.monotonic() < deadline
    assert lab.show(port_id).plugged_host == "compute-1"


def test_a_lab_that_is_kept_sees_what_starts_again(lab: Lab, world: World) -> None:
    assert lab.agent("compute-1").info().host == "compute-1"
    world.engine.end("compute-1")
    world.agents["compute-1"].die()
    wait_until("the lost stream", lambda: lab._agents["compute-1"].lost)
    with pytest.raises(UnavailableError, match="compute-1 is exited"):
        lab.agent("compute-1")
    with pytest.raises(UnavailableError, match="compute-1 is exited"):
        lab.running_compute("compute-1")
    world.engine.begin("compute-1")
    assert lab.agent("compute-1").info().host == "compute-1"
    # While all is as it was known, nobody is asked.
    looks = world.engine.looks
    for _ in range(3):
        lab.agent("compute-1")
    assert world.engine.looks == looks

    world.engine.end("nova-events")
    lab.look_again()
    with pytest.raises(UnavailableError, match="nova-events is exited"):
        lab.service("nova-events")
    world.engine.begin("nova-events")
    assert lab.service("nova-events").running
    # Also what is begun later.
    world.engine.all_containers.append(make_container("compute-4"))
    assert lab.running_compute("compute-4").service == "compute-4"


def test_a_lab_that_is_kept_has_the_status_of_now(lab: Lab, world: World) -> None:
    assert {one.state for one in lab.status().hosts} == {"healthy"}
    world.engine.end("compute-2")
    assert {one.host: one.state for one in lab.status().hosts}["compute-2"] == "exited"
    world.engine.begin("compute-2")
    assert {one.state for one in lab.status().hosts} == {"healthy"}


def test_plug_again_changes_nothing(lab: Lab, world: World) -> None:
    port_id = lab.create_port(replace(REQUEST, addressing="static")).row.port_id
    before = world.hosts["compute-1"].vifs(port_id)
    assert lab.plug(port_id).differs == ""
    assert world.hosts["compute-1"].vifs(port_id) == before
    lab.unplug(port_id)
    assert lab.show(port_id).differs == "not plugged on compute-1"
    assert lab.plug(port_id).differs == ""


def test_who_waits_for_what_is_unplugged_is_told(lab: Lab, world: World) -> None:
    port_id = create(lab)
    host = world.hosts["compute-1"]
    world.neutron.before = lambda called: (
        host.vifs_by_port.clear() if called == "wait_until_active" else None
    )
    lab.unplug(port_id)
    with pytest.raises(NotFoundError, match=f"{port_id} is not plugged on compute-1 any more"):
        lab.plug(port_id)


def test_a_port_whose_boot_fails_is_taken_from_the_vm_again(lab: Lab, world: World) -> None:
    port = world.neutron.create_port({"network_id": world.neutron.network("net").id})
    world.hosts["compute-1"].broken["plug"] = ConflictError("no")
    with pytest.raises(ConflictError, match="no"):
        lab.attach("vm", port.id, host="compute-1")
    after = world.neutron.ports_by_id[port.id]
    assert (after.host, after.device_id, after.device_owner) == ("", "", "")
    del world.hosts["compute-1"].broken["plug"]
    assert lab.attach("vm", port.id, host="compute-2").vm_name == "vm"


def test_a_vm_s_end_unbinds_what_it_was_given(lab: Lab, world: World) -> None:
    own = create(lab)
    given = world.neutron.create_port({"network_id": world.neutron.network("net").id}).id
    assert lab.attach("vm", given).nic == "eth1"
    assert lab.delete_vm("vm") == [own, given]
    assert set(world.neutron.ports_by_id) == {given}
    assert world.neutron.ports_by_id[given].host == ""
    assert world.hosts["compute-1"].vifs_by_port == {}
    with pytest.raises(NotFoundError, match="there is no VM 'vm'"):
        lab.delete_vm("vm")


def test_what_may_have_been_given_to_a_vm_is_not_deleted_with_it(lab: Lab, world: World) -> None:
    own = create(lab)
    given = world.neutron.create_port({"network_id": world.neutron.network("net").id}).id
    lab.attach("vm", given)
    # Plugged again: its host has forgotten whether it was given.
    lab.unplug(given)
    lab.plug(given)
    assert lab.delete_vm("vm") == [own, given]
    assert set(world.neutron.ports_by_id) == {given}
    # Its host is away.
    lab.attach("vm", given, host="compute-1")
    world.engine.end("compute-1")
    del lab.containers
    assert lab.delete_vm("vm") == [given]
    assert world.neutron.ports_by_id[given].device_id == ""
    assert f"port {given} was unbound" in world.said[-1]


def test_a_port_that_neutron_made_without_an_answer_goes_with_its_vm(
    lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(body: Mapping[str, Any]) -> Port:
        FakeNeutron.create_port(world.neutron, body)
        raise UnavailableError("Neutron does not answer")

    monkeypatch.setattr(world.neutron, "create_port", unanswered)
    with pytest.raises(UnavailableError) as caught:
        create(lab)
    assert "fakevm openstack port list --device-id" in caught.value.__notes__[0]
    (left,) = world.neutron.ports_by_id
    assert lab.delete_vm("vm") == [left]
    assert nothing_is_left(world)


def test_a_port_that_is_not_a_vm_s_is_not_deleted_as_one(lab: Lab, world: World) -> None:
    body = {"network_id": make_network().id, "device_owner": "network:router_interface"}
    router = "0b7c2f5e-9d51-4a76-8d3f-6f0e5a1c9b42"
    port = world.neutron.create_port({**body, "device_id": router})
    with pytest.raises(NotFoundError, match="there is no VM"):
        lab.delete_vm(router)
    assert set(world.neutron.ports_by_id) == {port.id}


def test_one_vm_that_is_not_there_does_not_keep_the_others(lab: Lab, world: World) -> None:
    first, last = create(lab), create(lab, instance="last")
    deleted, failures = lab.delete_vms(["vm", "none", "last"])
    assert deleted == [first, last]
    assert [str(failure) for failure in failures] == ["there is no VM 'none'"]
    assert nothing_is_left(world)


def test_a_vm_gets_its_ports_one_after_the_other(lab: Lab, world: World) -> None:
    with ThreadPoolExecutor() as pool:
        hosts = ("compute-1", "compute-2")
        made = [pool.submit(create, world.lab(), host=host) for host in hosts]
    refused = [str(one.exception()) for one in made if one.exception()]
    assert len(refused) == 1
    assert "VM vm is on compute-" in refused[0]
    assert len({port.host for port in world.neutron.ports_by_id.values()}) == 1


def test_a_vm_that_is_being_moved_gets_no_port(lab: Lab, world: World) -> None:
    port_id = create(lab)
    instance_id = world.neutron.ports_by_id[port_id].device_id
    with (
        exclusive_vm(lab.name, instance_id),
        pytest.raises(ConflictError, match="VM vm is being migrated"),
    ):
        lab.create_port(REQUEST, timeout_s=0.1)
    assert set(world.neutron.ports_by_id) == {port_id}


def test_what_is_plugged_meanwhile_is_not_bound_again(
    lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = world.neutron.create_port({"network_id": world.neutron.network("net").id})
    asked = threading.Event()

    def network_of(one: Port) -> Network:
        asked.set()
        return FakeNeutron.network_of(world.neutron, one)

    monkeypatch.setattr(world.neutron, "network_of", network_of)
    lock = exclusive_vm(lab.name, vm_of("vm").instance_id)
    with ThreadPoolExecutor() as pool, lock:
        late = pool.submit(lab.attach, "vm", port.id, host="compute-1")
        assert asked.wait(10)
        world.neutron.update_port(port.id, {"device_id": "another"})
    assert isinstance(late.exception(), ConflictError)
    assert "belongs to VM another" in str(late.exception())
    assert not world.hosts["compute-1"].vifs_by_port


def test_a_vm_that_is_being_moved_is_not_deleted(
    lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fakevm.lab.WAIT_S", 0.1)
    port_id = create(lab)
    with (
        exclusive_vm(lab.name, vm_of("vm").instance_id),
        pytest.raises(ConflictError, match="VM vm is being migrated"),
    ):
        lab.delete_vm("vm")
    assert set(world.neutron.ports_by_id) == {port_id}


def test_a_port_without_port_security_has_no_groups(lab: Lab, world: World) -> None:
    with pytest.raises(ConfigError, match="security groups"):
        create(lab, port_security=False, security_groups=("default",))
    assert nothing_is_left(world)


def test_a_paused_host_is_unpaused_and_not_started(lab: Lab, world: World) -> None:
    port_id = create(lab)
    world.engine.end("compute-1", state="paused")
    del lab.containers
    with pytest.raises(UnavailableError, match="compute-1 is paused") as caught:
        lab.unplug(port_id)
    assert caught.value.hint == "docker unpause fakevm-compute-1-1"


@pytest.mark.parametrize("name", ["", "A", "a b"])
def test_a_lab_has_a_name(name: str) -> None:
    with pytest.raises(ConfigError, match="is no lab's name"):
        Lab(name)


def test_plug_elsewhere_needs_a_binding_there(lab: Lab, world: World) -> None:
    port_id = create(lab)
    with pytest.raises(ConflictError, match="no binding to compute-2") as caught:
        lab.plug(port_id, host="compute-2")
    assert caught.value.hint == f"fakevm migrate compute-2 {port_id}"
    world.neutron.create_binding(port_id, "compute-2", vnic_type="normal", profile={})
    row = lab.plug(port_id, host="compute-2")
    assert row.plugged_host == "compute-2"
    # Two NICs with the same MAC must not both talk.
    assert world.hosts["compute-2"].paused == {port_id}


def test_a_port_of_a_router_is_not_plugged(lab: Lab, world: World) -> None:
    body = {"network_id": make_network().id, "device_owner": "network:router_interface"}
    port = world.neutron.create_port(body)
    with pytest.raises(ConflictError, match="network:router_interface"):
        lab.plug(port.id, host="compute-1")


def test_unplug_leaves_the_binding(lab: Lab, world: World) -> None:
    port_id = create(lab)
    assert lab.unplug(port_id).changed
    assert not lab.unplug(port_id).changed
    assert world.neutron.ports_by_id[port_id].host == "compute-1"


def test_unplug_on_all_hosts_has_a_result_for_each(lab: Lab, world: World) -> None:
    port_id = create(lab)
    world.engine.end("compute-3")
    del lab.containers
    results = {r.host: (r.changed, r.error) for r in lab.unplug_all_hosts(port_id)}
    assert results == {
        "compute-1": (True, ""),
        "compute-2": (False, ""),
        "compute-3": (False, "compute-3 is exited"),
    }


def test_a_stopped_host_is_shown_as_such_and_the_rest_still_works(world: World) -> None:
    with world.lab() as lab:
        first, second = create(lab), create(lab, instance="b", host="compute-2")
    world.engine.end("compute-2")
    with world.lab() as lab:
        rows = {row.port_id: row for row in lab.rows()}
        status = {host.host: host for host in lab.status().hosts}
        results = {r.host: r.error for r in lab.unplug_all_hosts(first)}
    assert rows[first].differs == ""
    assert rows[second].differs == "compute-2 does not answer"
    assert (status["compute-2"].state, status["compute-2"].vms) == ("exited", None)
    assert (status["compute-1"].state, status["compute-1"].vms) == ("healthy", 1)
    assert status["compute-1"].l2_agent == "alive"
    assert "compute-2 is exited" in results["compute-2"]


def test_cleanup_removes_what_neutron_does_not_know(lab: Lab, world: World) -> None:
    kept, gone = create(lab), create(lab, instance="b", host="compute-2")
    world.neutron.delete_port(gone)
    told, _ = lab.cleanup(dry_run=True)
    assert [(one.host, one.port_id) for one in told] == [("compute-2", gone)]
    assert gone in world.hosts["compute-2"].vifs_by_port
    assert lab.cleanup() == (told, [])
    assert world.hosts["compute-2"].vifs_by_port == {}
    assert kept in world.hosts["compute-1"].vifs_by_port
    assert lab.cleanup() == ([], [])


def test_cleanup_keeps_what_is_plugged_meanwhile(lab: Lab, world: World) -> None:
    gone = create(lab)
    world.neutron.delete_port(gone)
    made: list[str] = []

    def plug_meanwhile(method: str) -> None:
        # Between the two looks, another process plugs a VM.
        if method == "cleanup" and not made:
            made.append("")
            with world.lab() as other:
                made[0] = create(other, instance="new")

    world.hosts["compute-1"].before = plug_meanwhile
    lab.cleanup()
    assert list(world.hosts["compute-1"].vifs_by_port) == made


def test_cleanup_keeps_the_destination_of_a_migration(lab: Lab, world: World) -> None:
    port_id = create(lab)
    world.neutron.create_binding(port_id, "compute-2", vnic_type="normal", profile={})
    lab.plug(port_id, host="compute-2")
    assert lab.cleanup() == ([], [])


def test_a_command_runs_where_the_port_is_bound(lab: Lab) -> None:
    port_id = create(lab, name="p")
    for ref in (port_id, port_id[:8], "p"):
        with lab.execute(ref, ["echo", "hi"]) as execution:
            assert list(execution.output()) == [("stdout", b"hi\n")]
        assert execution.exit_code == 0


def test_a_command_is_not_taken_apart_into_letters(lab: Lab) -> None:
    create(lab, name="p")
    with pytest.raises(ConfigError, match="its words") as told:
        lab.execute("p", "ls -l /")
    assert told.value.hint == "shlex.split('ls -l /')"


def test_no_lab_is_told_with_the_mend(world: World) -> None:
    world.engine.all_containers.clear()
    with world.lab() as lab, pytest.raises(NotFoundError, match="no lab 'fakevm'") as caught:
        lab.status()
    assert caught.value.hint == "fakevm up"


def test_an_option_is_known_though_the_host_that_has_it_has_ended() -> None:
    api = make_container("neutron-api", backend="ovn")
    engine = FakeEngine(api, make_container("compute-1", state="exited", health=""))
    with Lab("fakevm", engine=engine) as lab:
        assert lab.options == {"metadata": "true"}


def test_a_lab_whose_api_has_stopped_says_so_in_its_status(world: World) -> None:
    world.engine.end("neutron-api")
    with world.lab() as lab:
        status = lab.status()
    assert status.neutron == "the lab's neutron-api is exited"
    assert status.runs == {"neutron": "28.0.2"}
    assert [host.vms for host in status.hosts if host.role == "compute"] == [0, 0, 0]
