"""A VM moves whole, or stays where it is as if nothing had been."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
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
from fakevm.inventory.vifs import vif
from fakevm.lab import Lab
from fakevm.migrate.move import Switches
from fakevm.migrate.request import MigrationRequest, protocol
from fakevm.model import Vm
from fakevm.neutron.values import Port
from fakevm.protocol.interrupt import Terminated
from fakevm.protocol.steps import Faults
from fakevm.reports.migration import MigrationReport, MoveKind
from fakevm.vms.requests import Plugging, PortRequest
from tests.fakes.probe import FakeNet
from tests.unit.conftest import World

# Each way to fail before activation: whose method, and its name.
FAILURES = [
    ("neutron", "create_binding"),
    ("compute-3", "plug"),
    ("neutron", "update_port"),
    ("compute-2", "suspend"),
    ("neutron", "activate_binding"),
]

# And after it, where the rest is done all the same: the step's name, too.
LATE_FAILURES = [
    ("compute-3", "resume", "resume"),
    ("compute-2", "unplug", "unplug"),
    ("neutron", "delete_binding", "unbind"),
    ("neutron", "wait_until_active", "wait for ACTIVE"),
    ("compute-3", "configure", "configure"),
]


@pytest.fixture
def vm(lab: Lab) -> list[str]:
    """A VM with two NICs on compute-2; its ports."""
    return [
        lab.create_port(PortRequest(network="net", instance="vm", host="compute-2")).row.port_id
        for _ in range(2)
    ]


def move(lab: Lab, ref: str, destination: str, **wishes: Any) -> MigrationReport:
    return lab.migrate(ref, MigrationRequest(destination=destination, **wishes))


def state(world: World) -> object:
    """All that a rollback must bring back."""
    neutron = world.neutron
    return (
        {i: (p.host, p.profile) for i, p in neutron.ports_by_id.items()},
        {i: {b.host: b.status for b in bs.values()} for i, bs in neutron.bindings_by_port.items()},
        {
            h: {i: v.addresses for i, v in host.vifs_by_port.items()}
            for h, host in world.hosts.items()
        },
    )


def break_it(world: World, whose: str, method: str, *, after: int = 0) -> None:
    """Let a method fail once, after it was called this often."""
    left = [None] * after + [UnavailableError(f"{whose} does not answer")]

    def fail(called: str) -> None:
        if called == method and left and (error := left.pop(0)):
            raise error

    (world.neutron if whose == "neutron" else world.hosts[whose]).before = fail


def test_the_whole_vm_moves_with_its_addresses(lab: Lab, world: World, vm: list[str]) -> None:
    before = dict(world.hosts["compute-2"].vifs_by_port)
    moved = move(lab, vm[1], "compute-3")
    assert (moved.source, moved.destination, moved.vm) == ("compute-2", "compute-3", "vm")
    assert sorted(moved.port_ids) == sorted(vm)
    there = world.hosts["compute-3"]
    assert world.hosts["compute-2"].vifs_by_port == {}
    for port_id in vm:
        assert there.vifs_by_port[port_id].addresses == before[port_id].addresses
        assert there.vifs_by_port[port_id].nic == before[port_id].nic
        assert there.vifs_by_port[port_id].configured
        port = world.neutron.ports_by_id[port_id]
        assert (port.host, port.status) == ("compute-3", "ACTIVE")
        assert list(world.neutron.bindings_by_port[port_id]) == ["compute-3"]
    assert there.paused == set()


def test_neutron_is_written_to_in_nova_s_order(lab: Lab, world: World, vm: list[str]) -> None:
    world.neutron.writes.clear()
    move(lab, vm[0], "compute-3")
    calls = ("create_binding", "update_port", "activate_binding", "delete_binding")
    assert world.neutron.writes == [(call, port_id) for call in calls for port_id in vm]


def test_the_profile_is_nova_s_and_not_the_source_s(lab: Lab, world: World, vm: list[str]) -> None:
    port = world.neutron.ports_by_id[vm[0]]
    world.neutron.ports_by_id[vm[0]] = replace(port, profile={"mine": "keep"})
    move(lab, vm[0], "compute-3")
    assert world.neutron.ports_by_id[vm[0]].profile == {"os_vif_delegation": True}


def test_it_can_go_back(lab: Lab, world: World, vm: list[str]) -> None:
    move(lab, vm[0], "compute-3")
    move(lab, vm[0], "compute-2", source="compute-3")
    before = state(world)
    move(lab, vm[0], "compute-3")
    move(lab, vm[0], "compute-2")
    assert state(world) == before


@pytest.mark.parametrize(
    ("whose", "method", "after"),
    # The VM is paused at once, with all its NICs.
    [(*each, after) for each in FAILURES for after in (0, 1) if each[1] != "suspend" or not after],
)
def test_a_failure_before_activation_leaves_no_trace(
    lab: Lab, world: World, vm: list[str], whose: str, method: str, after: int
) -> None:
    before = state(world)
    break_it(world, whose, method, after=after)
    with pytest.raises((UnavailableError, ConflictError)):
        move(lab, vm[0], "compute-3")
    assert state(world) == before
    move(lab, vm[0], "compute-3")


def test_a_port_that_is_brought_back_is_bound_there(lab: Lab, world: World, vm: list[str]) -> None:
    before = dict(world.neutron.ports_by_id)
    break_it(world, "neutron", "activate_binding", after=1)
    # Nothing is written to the port's profile, by which ML2 would bind it.
    with pytest.raises(UnavailableError):
        move(lab, vm[0], "compute-3", switches=Switches(migrating_to=False, wait=False))
    assert world.neutron.ports_by_id == before


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_port_that_is_brought_back_outlives_its_l2_agent_s_next_loop(
    lab: Lab, world: World, vm: list[str], monkeypatch: pytest.MonkeyPatch, hybrid: bool
) -> None:
    here = world.hosts["compute-2"]
    if hybrid:
        for port_id, port in world.neutron.ports_by_id.items():
            details = {**port.vif_details, "ovs_hybrid_plug": True}
            world.neutron.ports_by_id[port_id] = replace(port, vif_details=details)
    cut_off, loops = here.cut_off, list[threading.Timer]()

    def in_next_loop(port_id: str) -> None:
        loops.append(threading.Timer(0.3, cut_off, [port_id]))
        loops[-1].start()

    monkeypatch.setattr(here, "cut_off", in_next_loop)
    here.calls.clear()
    break_it(world, "neutron", "activate_binding", after=1)
    with pytest.raises(UnavailableError):
        move(lab, vm[0], "compute-3")
    for loop in loops:
        loop.join()
    assert here.vifs_by_port[vm[0]].error == ""
    plugs = [call for call in here.calls if call[0] in ("plug", "unplug")]
    assert plugs == [("unplug", vm[0])] * hybrid + [("plug", vm[0])]


@pytest.mark.parametrize(("whose", "method"), FAILURES[:-1])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, Terminated])
def test_an_interrupt_before_activation_leaves_no_trace(
    lab: Lab,
    world: World,
    vm: list[str],
    whose: str,
    method: str,
    kind: type[KeyboardInterrupt],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = state(world)
    # The host's requests are served by other threads, where no signal arrives.
    handler = _raiser(kind)
    old = signal.signal(signal.SIGINT, handler)
    try:
        fire: list[Callable[[], None]] = [lambda: os.kill(os.getpid(), signal.SIGINT)]

        def interrupt(called: str) -> None:
            if called == method and fire:
                fire.pop()()

        (world.neutron if whose == "neutron" else world.hosts[whose]).before = interrupt
        with pytest.raises(kind):
            move(lab, vm[0], "compute-3")
    finally:
        signal.signal(signal.SIGINT, old)
    assert state(world) == before
    move(lab, vm[0], "compute-3")


@pytest.mark.parametrize(("whose", "method", "step"), LATE_FAILURES)
def test_after_a_failure_past_activation_all_else_is_done(
    lab: Lab, world: World, vm: list[str], whose: str, method: str, step: str
) -> None:
    world.neutron.writes.clear()
    break_it(world, whose, method)
    with pytest.raises(UnavailableError, match=f"{whose} does not answer") as caught:
        move(lab, vm[0], "compute-3")
    assert caught.value.__notes__ == [
        f"not all was done of '{step}'",
        "the VM is on compute-3 all the same",
    ]
    assert f"fakevm show {vm[0]}" in caught.value.hint
    assert "fakevm cleanup" in caught.value.hint
    first, second = vm
    there, here = world.hosts["compute-3"], world.hosts["compute-2"]
    assert there.paused == (set(vm) if step == "resume" else set())
    assert set(here.vifs_by_port) == ({first} if step == "unplug" else set())
    left = {"compute-2", "compute-3"} if step == "unbind" else {"compute-3"}
    assert set(world.neutron.bindings_by_port[first]) == left
    assert set(world.neutron.bindings_by_port[second]) == {"compute-3"}
    assert there.vifs_by_port[first].configured == (step != "configure")
    assert there.vifs_by_port[second].configured


def test_every_failure_past_activation_is_told(lab: Lab, world: World, vm: list[str]) -> None:
    world.hosts["compute-3"].broken["resume"] = ConflictError("no room", hint="make room")
    world.hosts["compute-2"].broken["unplug"] = UnavailableError("gone")
    with pytest.raises(ConflictError, match="no room") as caught:
        move(lab, vm[0], "compute-3")
    assert caught.value.__notes__ == [
        "and compute-2: gone",
        "and compute-2: gone",
        "not all was done of 'resume', 'unplug'",
        "the VM is on compute-3 all the same",
    ]
    assert caught.value.hint.startswith("make room; fakevm show")


def test_an_interrupt_after_activation_ends_the_waits_alone(
    lab: Lab, world: World, vm: list[str]
) -> None:
    world.neutron.before = lambda called: (
        os.kill(os.getpid(), signal.SIGINT) if called == "activate_binding" else None
    )
    with pytest.raises(KeyboardInterrupt) as caught:
        move(lab, vm[0], "compute-3")
    assert caught.value.__notes__ == ["all is done but 'wait for ACTIVE', 'configure'"]
    assert world.hosts["compute-2"].vifs_by_port == {}
    assert [world.hosts["compute-3"].vifs_by_port[port].configured for port in vm] == [True, True]
    assert lab.server(lab.show(vm[0]).instance_id).host == "compute-3"


def test_an_interrupt_ends_a_delay_and_nothing_is_activated(
    lab: Lab, world: World, vm: list[str]
) -> None:
    before = state(world)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        move(lab, vm[0], "compute-3", faults=Faults(delays={"activate": 60}))
    assert state(world) == before


def test_an_interrupt_of_a_rollback_does_not_hide_its_reason(
    lab: Lab, world: World, vm: list[str]
) -> None:
    world.hosts["compute-3"].broken["plug"] = ConflictError("no room")
    world.neutron.before = lambda called: (
        os.kill(os.getpid(), signal.SIGINT) if called == "delete_binding" else None
    )
    with pytest.raises(ConflictError, match="no room"):
        move(lab, vm[0], "compute-3")


def test_an_undo_that_fails_is_told_with_the_error(lab: Lab, world: World, vm: list[str]) -> None:
    world.hosts["compute-3"].broken["plug"] = ConflictError("no room")
    world.neutron.broken["delete_binding"] = UnavailableError("Neutron is gone")
    with pytest.raises(ConflictError, match="no room") as caught:
        move(lab, vm[0], "compute-3")
    assert caught.value.__notes__ == ["and 'unbind the destination' failed: Neutron is gone"]
    assert f"fakevm migrate --abort {vm[0]}" in caught.value.hint


def test_where_all_is_undone_nothing_is_to_be_aborted(
    lab: Lab, world: World, vm: list[str]
) -> None:
    world.hosts["compute-3"].broken["plug"] = ConflictError("no room")
    with pytest.raises(ConflictError, match="no room") as caught:
        move(lab, vm[0], "compute-3")
    assert "--abort" not in (caught.value.hint or "")


def test_a_destination_that_nobody_wires_is_given_up_in_time(
    lab: Lab, world: World, vm: list[str]
) -> None:
    before = state(world)
    world.hosts["compute-3"].wires = False
    switches = Switches(plugging=Plugging(vif_plugging_timeout_s=0.05))
    with pytest.raises(WaitTimeoutError, match="no network-vif-plugged"):
        move(lab, vm[0], "compute-3", switches=switches)
    assert state(world) == before


def test_where_plugging_is_not_fatal_it_goes_on(lab: Lab, world: World, vm: list[str]) -> None:
    world.hosts["compute-3"].wires = False
    plugging = Plugging(vif_plugging_timeout_s=0.05, vif_plugging_is_fatal=False)
    world.neutron.before = lambda called: (
        setattr(world.hosts["compute-3"], "wires", True) if called == "activate_binding" else None
    )
    report = move(lab, vm[0], "compute-3", switches=Switches(plugging=plugging))
    assert (report.outcome, report.waited) == ("moved", "timeout")
    assert any("going on" in words for words in world.said)


@pytest.mark.parametrize(
    ("switches", "waited"),
    [
        (Switches(), "event"),
        (Switches(wait=False), "nobody"),
        (Switches(plugging=Plugging(vif_plugging_timeout_s=0)), "nobody"),
    ],
)
def test_a_report_says_whether_anybody_waited_for_the_plug(
    lab: Lab, vm: list[str], switches: Switches, waited: str
) -> None:
    assert move(lab, vm[0], "compute-3", switches=switches).waited == waited


@pytest.mark.parametrize("method", ["binding", "activate_binding"])
def test_a_binding_that_can_t_be_asked_for_or_is_active_by_now_is_left_as_it_is(
    lab: Lab, world: World, vm: list[str], method: str
) -> None:
    left = [ConflictError("Neutron: no")]

    def once(called: str) -> None:
        if called == method and left:
            raise left.pop()

    world.neutron.before = once
    # By `activate again` it is done.
    assert move(lab, vm[0], "compute-3").outcome == "moved"
    assert not left
    assert any(f"port {vm[0]}" in words and "Neutron: no" in words for words in world.said)
    assert {lab.show(port_id).differs for port_id in vm} == {""}


def test_an_event_that_says_failed_is_fatal_only_where_plugging_is(
    lab: Lab, world: World, vm: list[str]
) -> None:
    emit = world.neutron.emit
    instance_id = world.neutron.ports_by_id[vm[0]].device_id

    def failed(_host: str, port_id: str) -> None:
        """Have Neutron say so of the first VIF; of the second it says nothing yet."""
        if port_id == vm[0]:
            world.events.emit("network-vif-plugged", instance_id, port_id, status="failed")

    world.hosts["compute-3"].on_plug = failed
    world.neutron.emit = lambda name, vm_id, port_id: (
        emit(name, vm_id, port_id) if port_id == vm[1] else None
    )
    with pytest.raises(FakevmError, match=f"has failed for port {vm[0]}"):
        move(lab, vm[0], "compute-3")
    plugging = Plugging(vif_plugging_timeout_s=10, vif_plugging_is_fatal=False)
    report = move(lab, vm[0], "compute-3", switches=Switches(plugging=plugging))
    assert (report.outcome, report.waited) == ("moved", "failed")
    assert [words for words in world.said if "going on" in words] == [
        f"Neutron says that network-vif-plugged has failed for port {vm[0]}; going on"
        " (--no-vif-plugging-is-fatal)"
    ]


def test_what_a_killed_migration_left_is_told_and_aborted(
    lab: Lab, world: World, vm: list[str]
) -> None:
    before = state(world)
    world.neutron.create_binding(vm[0], "compute-3", vnic_type="normal", profile={"old": 1})
    world.neutron.update_port(vm[0], {"binding:profile": {"migrating_to": "compute-3"}})
    there = world.neutron.bindings_by_port[vm[0]]["compute-3"]
    port, network = world.neutron.ports_by_id[vm[0]], world.neutron.network("net")
    lab.agent("compute-3").plug(
        vif(port, network, there, (), preserve_on_delete=False),
        Vm(instance_id=port.device_id, name="vm"),
        paused=True,
    )
    with pytest.raises(ConflictError, match="INACTIVE binding to compute-3") as caught:
        move(lab, vm[0], "compute-1")
    assert caught.value.hint == f"fakevm migrate --abort {vm[0]}"
    assert f"fakevm migrate --abort {vm[0]}" in lab.show(vm[0]).differs
    assert len(lab.abort_migration(vm[0])) == 3
    assert state(world) == before
    assert lab.abort_migration(vm[0]) == []
    assert "INACTIVE" not in lab.show(vm[0]).differs
    move(lab, vm[0], "compute-1")


def test_an_abort_starts_the_clients_of_a_port_that_is_down(
    lab: Lab, world: World, vm: list[str]
) -> None:
    world.neutron.update_port(vm[0], {"admin_state_up": False})
    lab.unplug(vm[0])
    lab.abort_migration(vm[0])
    assert world.hosts["compute-2"].vifs_by_port[vm[0]].configured


def test_a_vm_whose_migration_was_killed_late_is_not_merely_there_already(
    lab: Lab, world: World, vm: list[str]
) -> None:
    world.neutron.create_binding(vm[0], "compute-3", vnic_type="normal", profile={})
    with pytest.raises(ConflictError) as caught:
        move(lab, vm[0], "compute-2")
    assert caught.value.hint == f"fakevm migrate --abort {vm[0]}"


@pytest.mark.parametrize(
    ("destination", "source", "error"),
    [
        ("compute-2", None, ConflictError),
        ("compute-9", None, NotFoundError),
        ("compute-3", "compute-1", ConflictError),
        ("compute-3", "compute-9", NotFoundError),
    ],
)
def test_a_migration_that_cannot_be_is_refused_before_anything_is_changed(
    lab: Lab,
    world: World,
    vm: list[str],
    destination: str,
    source: str | None,
    error: type[FakevmError],
) -> None:
    before, writes = state(world), len(world.neutron.writes)
    with pytest.raises(error):
        move(lab, vm[0], destination, source=source)
    assert (state(world), len(world.neutron.writes)) == (before, writes)


def test_a_stopped_destination_is_refused_before_anything_is_changed(
    lab: Lab, world: World, vm: list[str]
) -> None:
    writes = len(world.neutron.writes)
    world.engine.end("compute-3")
    del lab.containers
    with pytest.raises(UnavailableError, match="compute-3 is exited"):
        move(lab, vm[0], "compute-3")
    assert len(world.neutron.writes) == writes


def test_a_destination_whose_l2_agent_is_dead_is_refused(
    lab: Lab, world: World, vm: list[str]
) -> None:
    before = state(world)
    world.neutron.alive["compute-3"] = False
    with pytest.raises(ConflictError, match="compute-3"):
        move(lab, vm[0], "compute-3")
    assert state(world) == before


def test_a_vm_that_is_half_unplugged_is_refused(lab: Lab, world: World, vm: list[str]) -> None:
    world.hosts["compute-2"].unplug(vm[1])
    with pytest.raises(ConflictError, match=f"port {vm[1]} is not plugged on compute-2"):
        move(lab, vm[0], "compute-3")


def test_a_step_can_be_made_to_fail_or_to_wait(lab: Lab, world: World, vm: list[str]) -> None:
    before = state(world)
    with pytest.raises(FakevmError, match="'pause' was made to fail"):
        move(lab, vm[0], "compute-3", faults=Faults(fail_at="pause"))
    assert state(world) == before
    report = move(lab, vm[0], "compute-3", faults=Faults(delays={"bind": 0.05}))
    (step,) = (one for one in report.steps if one.name == "bind")
    assert step.end - step.start >= 0.05
    with pytest.raises(ConfigError, match="there is no step 'jump'; there are: bind, register"):
        move(lab, vm[0], "compute-2", faults=Faults(fail_at="jump"))


def test_a_failure_has_its_report(lab: Lab, vm: list[str]) -> None:
    seen: list[MigrationReport] = []
    request = MigrationRequest(destination="compute-3", faults=Faults(fail_at="wait"))
    with pytest.raises(FakevmError):
        lab.migrate(vm[0], request, on_report=seen.append)
    (report,) = seen
    assert (report.outcome, report.error) == (
        "rolled back",
        "step 'wait' was made to fail (--fail-at)",
    )
    assert [(step.name, step.outcome) for step in report.steps][-4:] == [
        ("wait", "failed"),
        ("withdraw", "undone"),
        ("unbind the destination", "undone"),
        ("unplug the destination", "undone"),
    ]


def test_a_post_copy_guest_runs_before_its_binding_is_active(
    lab: Lab, world: World, vm: list[str]
) -> None:
    running: list[bool] = []
    world.neutron.before = lambda called: (
        running.append(not world.hosts["compute-3"].paused)
        if called == "activate_binding"
        else None
    )
    move(lab, vm[0], "compute-3", post_copy=True)
    assert running == [True, True]


def test_a_cold_migration_binds_by_host_id(lab: Lab, world: World, vm: list[str]) -> None:
    world.neutron.writes.clear()
    report = move(lab, vm[0], "compute-3", kind="cold")
    calls = ("update_port", "delete_binding")
    assert world.neutron.writes == [(call, port_id) for call in calls for port_id in vm]
    assert report.outcome == "moved"
    assert set(world.hosts["compute-3"].vifs_by_port) == set(vm)
    assert world.hosts["compute-2"].vifs_by_port == {}


@pytest.mark.parametrize("kind", ["live", "cold", "evacuate"])
def test_a_port_that_is_down_keeps_no_vm_from_moving(
    lab: Lab, world: World, vm: list[str], kind: MoveKind
) -> None:
    world.neutron.update_port(vm[0], {"admin_state_up": False})
    if kind == "evacuate":
        world.engine.end("compute-2")
        del lab.containers
    switches = Switches()
    if kind == "live":
        # Nova waits for the event of each VIF, in vain.
        soon = Switches(plugging=Plugging(vif_plugging_timeout_s=0.05))
        with pytest.raises(WaitTimeoutError) as caught:
            move(lab, vm[0], "compute-3", switches=soon)
        assert f"port {vm[0]} is administratively down" in caught.value.__notes__[-1]
        assert vm[1] not in str(caught.value)
        switches = Switches(wait=False)
    assert move(lab, vm[0], "compute-3", kind=kind, switches=switches).outcome == "moved"
    there = world.hosts["compute-3"].vifs_by_port
    # What runs on keeps the address that it had.
    assert [there[port_id].addresses != () for port_id in vm] == [kind == "live", True]
    # The clients of both ask, in vain or not.
    assert [there[port_id].configured for port_id in vm] == [True, True]


@pytest.mark.parametrize(
    ("whose", "method"), [("neutron", "update_port"), ("compute-3", "plug"), ("neutron", "binding")]
)
def test_a_cold_migration_that_fails_boots_at_the_source(
    lab: Lab, world: World, vm: list[str], whose: str, method: str
) -> None:
    before = state(world)
    break_it(world, whose, method)
    with pytest.raises(UnavailableError):
        move(lab, vm[0], "compute-3", kind="cold")
    assert state(world) == before
    assert world.hosts["compute-2"].paused == set()


def test_a_vm_is_evacuated_from_a_host_that_is_down(lab: Lab, world: World, vm: list[str]) -> None:
    with pytest.raises(ConflictError, match="compute-2 is up") as caught:
        move(lab, vm[0], "compute-3", kind="evacuate")
    assert "--force" in caught.value.hint
    world.engine.end("compute-2")
    del lab.containers
    with pytest.raises(UnavailableError, match="compute-2 is down") as down:
        move(lab, vm[0], "compute-3")
    assert down.value.hint == f"fakevm migrate --evacuate compute-3 {vm[0]}"
    world.neutron.writes.clear()
    move(lab, vm[0], "compute-3", kind="evacuate")
    assert world.neutron.writes == [("update_port", port_id) for port_id in (*vm, *vm)]
    assert set(world.hosts["compute-3"].vifs_by_port) == set(vm)
    assert world.hosts["compute-3"].paused == set()
    assert {world.neutron.ports_by_id[port_id].host for port_id in vm} == {"compute-3"}


@pytest.mark.parametrize(
    ("whose", "method", "after"),
    [
        # The first port is bound, the second is not; both are, and the guest does not start.
        ("neutron", "update_port", 3),
        ("compute-3", "plug", 0),
    ],
)
def test_an_evacuation_that_failed_is_done_again(
    lab: Lab, world: World, vm: list[str], whose: str, method: str, after: int
) -> None:
    world.engine.end("compute-2")
    world.neutron.alive["compute-2"] = False
    del lab.containers
    break_it(world, whose, method, after=after)
    with pytest.raises(UnavailableError, match="does not answer"):
        move(lab, vm[0], "compute-3", kind="evacuate")
    # What was written of those that are still there cannot be bound.
    for port_id, port in world.neutron.ports_by_id.items():
        if port.host == "compute-2":
            world.neutron.ports_by_id[port_id] = replace(port, vif_type="binding_failed")
    world.neutron.writes.clear()
    report = move(lab, vm[0], "compute-3", kind="evacuate")
    assert (report.outcome, report.source) == ("moved", "compute-2")
    assert {lab.show(port_id).differs for port_id in vm} == {""}
    # Of a port that has moved nothing is written again.
    assert {i for _, i in world.neutron.writes} == (set() if method == "plug" else {vm[1]})
    with pytest.raises(ConflictError, match="is on compute-3 already"):
        move(lab, vm[0], "compute-3", kind="evacuate")


def test_a_vm_on_no_host_is_not_evacuated(lab: Lab, world: World, vm: list[str]) -> None:
    lab.shelve("vm")
    with pytest.raises(ConflictError, match="is on no host"):
        move(lab, vm[0], "compute-3", kind="evacuate")


def test_a_host_that_is_paused_is_not_down(lab: Lab, world: World, vm: list[str]) -> None:
    world.engine.end("compute-2", state="paused")
    del lab.containers
    with pytest.raises(UnavailableError, match="compute-2 is paused") as caught:
        move(lab, vm[0], "compute-3")
    assert caught.value.hint == "docker unpause fakevm-compute-2-1"


def test_a_vm_is_evacuated_from_a_paused_host_by_force_alone(
    lab: Lab, world: World, vm: list[str]
) -> None:
    world.engine.end("compute-2", state="paused")
    del lab.containers
    with pytest.raises(ConflictError, match="compute-2 is paused"):
        move(lab, vm[0], "compute-3", kind="evacuate")
    assert move(lab, vm[0], "compute-3", kind="evacuate", force=True).outcome == "moved"


def test_an_event_that_comes_while_the_ports_are_read_is_not_lost(
    lab: Lab, world: World, vm: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.engine.end("compute-2")
    del lab.containers
    # The L2 agent's work is done right after the read, and not again.
    world.hosts["compute-3"].wires = False
    read = world.neutron.port

    def port(port_id: str) -> Port:
        before = read(port_id)
        if before.host == "compute-3" and before.status == "DOWN":
            world.neutron.ports_by_id[port_id] = replace(before, status="ACTIVE")
            world.neutron.emit("network-vif-plugged", before.device_id, port_id)
        return before

    monkeypatch.setattr(world.neutron, "port", port)
    switches = Switches(plugging=Plugging(vif_plugging_timeout_s=2))
    assert move(lab, vm[0], "compute-3", kind="evacuate", switches=switches).outcome == "moved"


def test_nics_of_a_vm_that_is_evacuated_keep_their_order(
    lab: Lab, world: World, vm: list[str]
) -> None:
    ports = world.neutron.ports_by_id
    # Neutron lists them in any order.
    world.neutron.ports_by_id = {
        port_id: replace(ports[port_id], created_at=f"2026-01-01T00:00:0{vm.index(port_id)}Z")
        for port_id in reversed(vm)
    }
    world.engine.end("compute-2")
    del lab.containers
    move(lab, vm[0], "compute-3", kind="evacuate")
    nics = {one.port_id: one.nic for one in world.hosts["compute-3"].vifs_by_port.values()}
    assert [nics[port_id] for port_id in vm] == [f"eth{n}" for n in range(len(vm))]


def test_what_is_no_kind_of_migration_moves_nothing(lab: Lab, world: World, vm: list[str]) -> None:
    with pytest.raises(ConfigError, match="'bogus' is no kind of migration"):
        move(lab, vm[0], "compute-3", kind="bogus")
    assert {world.neutron.ports_by_id[port_id].host for port_id in vm} == {"compute-2"}


def test_every_step_names_its_source_and_the_undo_of_what_it_makes() -> None:
    for kind in ("live", "cold", "evacuate"):
        steps = protocol(kind)
        assert all(step.source for step in (*steps.steps, *steps.after))
        assert {undo.of for undo in steps.rollback} <= set(steps.names())
    live = protocol("live")
    assert live.steps[-1].name == "activate"
    without = {step.name for step in live.steps if not live.undo_of(step.name)}
    assert without == {"register", "wait"}
    with pytest.raises(ConfigError, match="--post-copy"):
        protocol("cold", post_copy=True)


def test_what_a_vm_lost_is_told_with_the_step(
    lab: Lab, world: World, vm: list[str], net: FakeNet
) -> None:
    request = PortRequest(network="net", instance="prober", host="compute-1")
    lab.create_port(request)
    prober = lab.rows()[-3].port_id
    net.vm_on = "compute-2"
    report = move(
        *(lab, vm[0], "compute-3"),
        probes=[prober],
        faults=Faults(delays={"activate": 0.3}),
    )
    assert len(report.flows) == 8
    assert report.rate == 100
    to_vm = [flow for flow in report.flows if flow.direction == "to-vm"]
    activating = report.moments.activating
    assert activating
    for flow in report.flows:
        assert flow.gap_start is not None
        assert flow.gap_end is not None
        assert flow.gap_start <= activating <= flow.gap_end
    assert all(flow.longest_gap_ms >= 290 for flow in report.flows)
    assert all(flow.lost > 10 for flow in to_vm)
    split = to_vm[0].split
    assert split
    assert split.activate_ms >= 290
    assert {status.port_id for status in report.statuses} == set(vm)
    assert {"network-vif-plugged"} <= {entry.name for entry in report.events}
    assert net.running == 0


def test_a_vm_does_not_probe_itself(lab: Lab, vm: list[str], net: FakeNet) -> None:
    with pytest.raises(ConfigError, match="the VM's own"):
        move(lab, vm[0], "compute-3", probes=[vm[1]])
    with pytest.raises(NotFoundError, match="no DHCP server"):
        move(lab, vm[0], "compute-3", probes=["dhcp"])


def _raiser(kind: type[KeyboardInterrupt]) -> Callable[..., None]:
    def handler(*_: object) -> None:
        raise kind

    return handler
