"""What is left of a VM whose migration or shelve was killed ends on one host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fakevm.errors import ConflictError, UnavailableError
from fakevm.lab import Lab
from fakevm.migrate.request import MigrationRequest
from fakevm.protocol import steps
from fakevm.reports.migration import MoveKind
from fakevm.vms.requests import PortRequest
from tests.unit.conftest import World


class Killed(BaseException):
    """The process is no more."""


@pytest.fixture
def vm(lab: Lab) -> list[str]:
    """A VM with two NICs on compute-2; its ports."""
    return [
        lab.create_port(PortRequest(network="net", instance="vm", host="compute-2")).row.port_id
        for _ in range(2)
    ]


@pytest.fixture
def kill(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Carry something out that is killed at the n-th call of a method of Neutron's."""

    def killed(*_: Any) -> None:
        raise Killed

    def carry_out(act: Callable[[], object], method: str, nth: int = 2) -> None:
        left = [False] * (nth - 1) + [True]

        def before(called: str) -> None:
            if called == method and left.pop(0):
                world.neutron.before = lambda _method: None
                raise Killed

        world.neutron.before = before
        with monkeypatch.context() as patched:
            # Nobody is left to do it.
            patched.setattr(steps, "_roll_back", killed)
            with pytest.raises(Killed):
                act()

    return carry_out


def down(world: World, lab: Lab, host: str) -> None:
    world.engine.end(host)
    world.neutron.alive[host] = False
    # As it will be when it returns.
    world.hosts[host].vifs_by_port.clear()
    del lab.containers


def assert_whole_on(world: World, lab: Lab, host: str, vm: list[str]) -> None:
    for port_id in vm:
        assert list(world.neutron.bindings_by_port[port_id]) == [host]
        assert world.neutron.ports_by_id[port_id].profile.get("migrating_to") is None
        assert lab.show(port_id).differs == ""
    for name, one in world.hosts.items():
        assert set(one.vifs_by_port) <= (set(vm) if name == host else set())
    assert lab.server(world.neutron.ports_by_id[vm[0]].device_id).host == host
    # Whose the ports are is known as before.
    lab.delete_vm("vm")
    assert not world.neutron.ports_by_id


@pytest.mark.parametrize(
    ("kind", "post_copy", "method", "home"),
    [
        # Paused on both: where Nova has it.
        ("live", False, "activate_binding", "compute-2"),
        # Its guest runs there already.
        ("live", True, "activate_binding", "compute-3"),
        ("cold", False, "update_port", "compute-2"),
    ],
)
def test_a_vm_that_was_killed_between_its_ports_ends_on_one_host(
    lab: Lab,
    world: World,
    vm: list[str],
    kill: Callable[..., None],
    kind: MoveKind,
    post_copy: bool,
    method: str,
    home: str,
) -> None:
    request = MigrationRequest(destination="compute-3", kind=kind, post_copy=post_copy)
    kill(lambda: lab.migrate(vm[0], request), method)
    assert {world.neutron.ports_by_id[i].host for i in vm} == {"compute-2", "compute-3"}
    with pytest.raises(ConflictError) as caught:
        lab.reboot("vm")
    assert "fakevm migrate --abort" in caught.value.hint
    lab.abort_migration(vm[0])
    assert lab.abort_migration(vm[1]) == []
    assert_whole_on(world, lab, home, vm)


def test_an_evacuation_that_was_killed_ends_on_the_host_that_is_up(
    lab: Lab, world: World, vm: list[str], kill: Callable[..., None]
) -> None:
    down(world, lab, "compute-2")
    request = MigrationRequest(destination="compute-3", kind="evacuate")
    # Two writes of `migrating_to`, and the first of the host.
    kill(lambda: lab.migrate(vm[0], request), "update_port", 4)
    lab.abort_migration(vm[0])
    assert_whole_on(world, lab, "compute-3", vm)


def test_what_cannot_be_brought_together_keeps_its_way_back(
    lab: Lab, world: World, vm: list[str], kill: Callable[..., None]
) -> None:
    kill(lambda: lab.migrate(vm[0], MigrationRequest(destination="compute-3")), "activate_binding")
    bindings = {i: dict(found) for i, found in world.neutron.bindings_by_port.items()}
    plugged = {name: set(host.vifs_by_port) for name, host in world.hosts.items()}
    world.neutron.broken["activate_binding"] = UnavailableError("Neutron does not answer")
    with pytest.raises(UnavailableError, match="does not answer"):
        lab.abort_migration(vm[0])
    assert world.neutron.bindings_by_port == bindings
    assert {name: set(host.vifs_by_port) for name, host in world.hosts.items()} == plugged
    del world.neutron.broken["activate_binding"]
    lab.abort_migration(vm[0])
    assert_whole_on(world, lab, "compute-2", vm)


@pytest.mark.parametrize("unbound", [1, 2])
def test_a_shelve_that_was_killed_is_taken_back(
    lab: Lab, world: World, vm: list[str], kill: Callable[..., None], unbound: int
) -> None:
    if unbound == 1:
        kill(lambda: lab.shelve("vm"), "update_port")
    else:
        # Before Nova was told that it is on no host.
        lab.agent("compute-2").suspend(world.neutron.ports_by_id[vm[0]].device_id)
        for port_id in vm:
            world.neutron.update_port(port_id, {"binding:host_id": None})
    assert lab.abort_migration(vm[1])
    assert_whole_on(world, lab, "compute-2", vm)


def test_an_unshelve_that_was_killed_goes_on(
    lab: Lab, world: World, vm: list[str], kill: Callable[..., None]
) -> None:
    lab.shelve("vm")
    with pytest.raises(ConflictError, match="is on no host") as caught:
        lab.abort_migration(vm[0])
    assert caught.value.hint == "fakevm unshelve vm"
    kill(lambda: lab.unshelve("vm", host="compute-1"), "update_port")
    lab.abort_migration(vm[0])
    assert_whole_on(world, lab, "compute-1", vm)


def test_another_s_port_is_left_alone(lab: Lab, world: World, vm: list[str]) -> None:
    world.neutron.update_port(vm[0], {"binding:profile": {"migrating_to": "compute-3"}})
    port = world.neutron.ports_by_id[vm[1]]
    world.neutron.ports_by_id[vm[1]] = replace(port, device_owner="network:router_interface")
    before = dict(world.neutron.ports_by_id)
    with pytest.raises(ConflictError, match="is no VM's"):
        lab.abort_migration(vm[0])
    assert world.neutron.ports_by_id == before
    with pytest.raises(ConflictError, match="is no VM's"):
        lab.abort_migration(world.neutron.create_port({"network_id": port.network_id}).id)


def test_a_port_on_another_s_host_is_left_alone(
    lab: Lab, world: World, vm: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(lab), "joined", property(lambda _lab: "http://10.0.0.1:9696"))
    port = replace(world.neutron.ports_by_id[vm[1]], host="hv-1", profile={"migrating_to": "hv-2"})
    world.neutron.ports_by_id[vm[1]] = port
    for ref in vm:
        with pytest.raises(ConflictError, match="is on hv-1, which is no host of the lab"):
            lab.abort_migration(ref)
    assert world.neutron.ports_by_id[vm[1]] == port
