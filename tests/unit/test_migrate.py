"""A VM moves whole, or stays where it is as if nothing had been."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from fakevm.errors import (
    ConfigError,
    ConflictError,
    FakevmError,
    NotFoundError,
    UnavailableError,
    WaitTimeoutError,
)
from fakevm.interrupt import Terminated
from fakevm.lab import Lab
from fakevm.migrate import AFTER_ACTIVATION, TO_ACTIVATION, check
from fakevm.results import PortRequest
from tests.unit.conftest import World

# Each way to fail before activation: whose method, and its name.
FAILURES = [
    ("neutron", "create_binding"),
    ("compute-3", "plug"),
    ("neutron", "update_port"),
    ("compute-3", "list"),
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
    moved = lab.migrate(vm[1], "compute-3")
    assert (moved.source, moved.destination, moved.vm_name) == ("compute-2", "compute-3", "vm")
    assert sorted(moved.port_ids) == sorted(vm)
    there = world.hosts["compute-3"]
    assert world.hosts["compute-2"].vifs_by_port == {}
    for port_id in vm:
        assert there.vifs_by_port[port_id].addresses == before[port_id].addresses
        assert there.vifs_by_port[port_id].nic == before[port_id].nic
        assert there.vifs_by_port[port_id].configured
        port = world.neutron.ports_by_id[port_id]
        assert (port.host, port.status, port.profile) == ("compute-3", "ACTIVE", {})
        assert list(world.neutron.bindings_by_port[port_id]) == ["compute-3"]
    assert there.paused == set()


def test_neutron_is_written_to_in_nova_s_order(lab: Lab, world: World, vm: list[str]) -> None:
    world.neutron.writes.clear()
    lab.migrate(vm[0], "compute-3")
    calls = ("create_binding", "update_port", "activate_binding", "delete_binding")
    assert world.neutron.writes == [(call, port_id) for call in calls for port_id in vm]


def test_the_port_s_profile_is_kept(lab: Lab, world: World, vm: list[str]) -> None:
    port = world.neutron.ports_by_id[vm[0]]
    world.neutron.ports_by_id[vm[0]] = replace(port, profile={"mine": "keep"})
    lab.migrate(vm[0], "compute-3")
    assert world.neutron.ports_by_id[vm[0]].profile == {"mine": "keep"}


def test_it_can_go_back(lab: Lab, world: World, vm: list[str]) -> None:
    before = state(world)
    lab.migrate(vm[0], "compute-3")
    lab.migrate(vm[0], "compute-2", source="compute-3")
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
        lab.migrate(vm[0], "compute-3")
    assert state(world) == before
    lab.migrate(vm[0], "compute-3")


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
            lab.migrate(vm[0], "compute-3")
    finally:
        signal.signal(signal.SIGINT, old)
    assert state(world) == before
    lab.migrate(vm[0], "compute-3")


@pytest.mark.parametrize(("whose", "method", "step"), LATE_FAILURES)
def test_after_a_failure_past_activation_all_else_is_done(
    lab: Lab, world: World, vm: list[str], whose: str, method: str, step: str
) -> None:
    world.neutron.writes.clear()
    break_it(world, whose, method)
    with pytest.raises(UnavailableError, match=f"{whose} does not answer") as caught:
        lab.migrate(vm[0], "compute-3")
    (told,) = caught.value.__notes__
    assert told == f"the VM is on compute-3 all the same; not all was done of '{step}'"
    assert f"fakevm show {vm[0]}" in caught.value.hint
    assert "fakevm cleanup" in caught.value.hint
    first, second = vm
    there, here = world.hosts["compute-3"], world.hosts["compute-2"]
    assert there.paused == (set(vm) if step == "resume" else set())
    assert set(here.vifs_by_port) == ({first} if step == "unplug" else set())
    left = {"compute-2", "compute-3"} if step == "unbind" else {"compute-3"}
    assert set(world.neutron.bindings_by_port[first]) == left
    assert set(world.neutron.bindings_by_port[second]) == {"compute-3"}
    down = [i for i in vm if world.neutron.ports_by_id[i].status == "DOWN"]
    assert down == ([first] if step == "wait for ACTIVE" else [])
    assert there.vifs_by_port[first].configured == (step != "configure")
    assert there.vifs_by_port[second].configured


def test_every_failure_past_activation_is_told(lab: Lab, world: World, vm: list[str]) -> None:
    world.hosts["compute-3"].broken["resume"] = ConflictError("no room", hint="make room")
    world.hosts["compute-2"].broken["unplug"] = UnavailableError("gone")
    with pytest.raises(ConflictError, match="no room") as caught:
        lab.migrate(vm[0], "compute-3")
    assert caught.value.__notes__ == [
        "and compute-2: gone",
        "and compute-2: gone",
        "the VM is on compute-3 all the same; not all was done of 'resume', 'unplug'",
    ]
    assert caught.value.hint.startswith("make room; fakevm show")


def test_an_interrupt_after_activation_comes_too_late(
    lab: Lab, world: World, vm: list[str]
) -> None:
    world.neutron.before = lambda called: (
        os.kill(os.getpid(), signal.SIGINT) if called == "activate_binding" else None
    )
    assert lab.migrate(vm[0], "compute-3").destination == "compute-3"
    assert world.hosts["compute-2"].vifs_by_port == {}


def test_an_undo_that_fails_is_told_with_the_error(lab: Lab, world: World, vm: list[str]) -> None:
    world.hosts["compute-3"].broken["plug"] = ConflictError("no room")
    world.neutron.broken["delete_binding"] = UnavailableError("Neutron is gone")
    with pytest.raises(ConflictError, match="no room") as caught:
        lab.migrate(vm[0], "compute-3")
    assert caught.value.__notes__ == ["and 'bind' could not be undone: Neutron is gone"]


def test_a_destination_that_nobody_wires_is_given_up_in_time(
    lab: Lab, world: World, vm: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(world)
    monkeypatch.setattr(world.hosts["compute-3"], "wire", lambda _port_id: None)
    with pytest.raises(WaitTimeoutError, match="compute-3"):
        lab.migrate(vm[0], "compute-3", timeout_s=0.05)
    assert state(world) == before


def test_what_a_killed_migration_left_is_no_obstacle(lab: Lab, world: World, vm: list[str]) -> None:
    for host in ("compute-1", "compute-3"):
        world.neutron.create_binding(vm[0], host, vnic_type="normal", profile={"old": 1})
    port = world.neutron.ports_by_id[vm[0]]
    world.neutron.ports_by_id[vm[0]] = replace(port, profile={"migrating_to": "compute-1"})
    lab.migrate(vm[0], "compute-3")
    assert world.neutron.ports_by_id[vm[0]].profile == {}
    assert set(world.neutron.bindings_by_port[vm[0]]) == {"compute-3"}


def test_migrate_without_dst_host() -> None:
    with pytest.raises(ConfigError):
        check("compute-1", "")


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
        lab.migrate(vm[0], destination, source=source)
    assert (state(world), len(world.neutron.writes)) == (before, writes)


def test_a_stopped_destination_is_refused_before_anything_is_changed(
    lab: Lab, world: World, vm: list[str]
) -> None:
    writes = len(world.neutron.writes)
    world.engine.stop("compute-3")
    del lab.containers
    with pytest.raises(UnavailableError, match="compute-3 is exited"):
        lab.migrate(vm[0], "compute-3")
    assert len(world.neutron.writes) == writes


def test_a_destination_whose_l2_agent_is_dead_is_refused(
    lab: Lab, world: World, vm: list[str]
) -> None:
    before = state(world)
    world.neutron.alive["compute-3"] = False
    with pytest.raises(ConflictError, match="compute-3"):
        lab.migrate(vm[0], "compute-3")
    assert state(world) == before


def test_a_vm_that_is_half_unplugged_is_refused(lab: Lab, world: World, vm: list[str]) -> None:
    world.hosts["compute-2"].unplug(vm[1])
    with pytest.raises(ConflictError, match=f"port {vm[1]} is not plugged on compute-2"):
        lab.migrate(vm[0], "compute-3")


def test_all_that_is_done_before_activation_can_be_undone() -> None:
    waits = {"wait for the L2 agent"}
    assert {step.name for step in TO_ACTIVATION if not step.undo} == waits
    assert TO_ACTIVATION[-1].name == "activate"
    assert [step.name for step in AFTER_ACTIVATION][:3] == ["resume", "unplug", "unbind"]


def _raiser(kind: type[KeyboardInterrupt]) -> Callable[..., None]:
    def handler(*_: object) -> None:
        raise kind

    return handler
