"""A VM is rebooted, rebuilt, paused, shelved, attached to and detached from."""

from __future__ import annotations

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
from fakevm.lab import Lab
from fakevm.migrate.request import MigrationRequest
from fakevm.vms.requests import PortRequest
from tests.unit.conftest import World

REQUEST = PortRequest(network="net", instance="vm", host="compute-1", addressing="static")


def boot(lab: Lab) -> str:
    return lab.create_port(REQUEST).row.port_id


def give(lab: Lab, world: World) -> str:
    port = world.neutron.create_port({"network_id": world.neutron.network("net").id})
    return lab.attach("vm", port.id, addressing="static").port_id


def calls(world: World, host: str = "compute-1") -> list[str]:
    """Return what a host was asked to change since the last time."""
    made = [name for name, _ in world.hosts[host].calls if name not in ("list", "info")]
    world.hosts[host].calls.clear()
    return made


def refuse_once(world: World, method: str) -> None:
    """Have Neutron refuse the next call of a method."""

    def before(called: str) -> None:
        if called == method:
            world.neutron.before = lambda _method: None
            raise ConflictError("Neutron: refused")

    world.neutron.before = before


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("reboot", ["unplug", "unplug", "plug", "plug", "configure", "configure"]),
        ("rebuild", ["unplug", "unplug", "plug", "plug", "resume", "configure", "configure"]),
    ],
)
def test_a_vm_goes_and_comes_on_its_host(
    lab: Lab, world: World, verb: str, expected: list[str]
) -> None:
    own, given = boot(lab), give(lab, world)
    calls(world)
    rows = getattr(lab, verb)("vm")
    assert calls(world) == expected
    assert [(row.port_id, row.nic, row.vm_name, row.differs) for row in rows] == [
        (own, "eth0", "vm", ""),
        (given, "eth1", "vm", ""),
    ]
    # Which one it was given is known as before.
    lab.delete_vm("vm")
    assert set(world.neutron.ports_by_id) == {given}


def test_a_reboot_that_fails_plugs_what_it_can_again(lab: Lab, world: World) -> None:
    port_id = boot(lab)
    host = world.hosts["compute-1"]
    failed: list[str] = []

    def fail_once(method: str) -> None:
        if method == "plug" and not failed:
            failed.append(method)
            raise ConflictError("no")

    host.before = fail_once
    with pytest.raises(ConflictError, match="no"):
        lab.reboot("vm")
    row = lab.show(port_id)
    assert row.differs == ""
    # As they were before: what asks for its addresses runs again.
    assert world.hosts["compute-1"].vifs_by_port[port_id].configured


def test_a_vm_that_is_paused_says_so_and_goes_on_with_what_it_had(lab: Lab, world: World) -> None:
    port_id = boot(lab)
    (row,) = lab.pause("vm")
    assert row.differs == "VM vm is paused"
    with pytest.raises(ConflictError, match="is paused"):
        lab.pause("vm")
    with pytest.raises(ConflictError, match="VM vm is paused") as caught:
        lab.migrate(port_id, MigrationRequest(destination="compute-2"))
    assert "fakevm unpause" in caught.value.hint
    (row,) = lab.resume("vm")
    assert row.differs == ""
    assert row.addresses


def test_a_shelved_vm_keeps_its_ports_and_comes_back_anywhere(lab: Lab, world: World) -> None:
    own, given = boot(lab), give(lab, world)
    rows = lab.shelve("vm")
    assert [(row.vm_name, row.host, row.plugged_host) for row in rows] == [("vm", "", "")] * 2
    assert not world.hosts["compute-1"].vifs_by_port
    port = world.neutron.ports_by_id[own]
    assert (port.device_owner, bool(port.device_id)) == ("compute:nova", True)
    for act in (lab.shelve, lab.reboot, lab.pause):
        with pytest.raises(ConflictError, match="is on no host") as caught:
            act("vm")
        assert caught.value.hint == "fakevm unshelve vm"
    rows = lab.unshelve("vm", host="compute-3")
    assert [(row.port_id, row.host, row.nic, row.differs) for row in rows] == [
        (own, "compute-3", "eth0", ""),
        (given, "compute-3", "eth1", ""),
    ]
    with pytest.raises(ConflictError, match="is on compute-3, and not shelved"):
        lab.unshelve("vm")
    lab.delete_vm("vm")
    assert set(world.neutron.ports_by_id) == {given}


def test_a_vm_that_is_deleted_while_it_is_shelved_keeps_what_it_was_given(
    lab: Lab, world: World
) -> None:
    own, given = boot(lab), give(lab, world)
    lab.shelve("vm")
    assert sorted(lab.delete_vm("vm")) == sorted([own, given])
    assert set(world.neutron.ports_by_id) == {given}
    # A new one of this name has nothing of it.
    assert boot(lab)


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize("refused", ["update_port", "delete_port"])
def test_what_neutron_refuses_of_a_vm_s_end_keeps_nothing_else_and_is_done_again(
    lab: Lab, world: World, refused: str, forgotten: bool
) -> None:
    own, given, other = boot(lab), give(lab, world), lab.create_port(REQUEST).row.port_id
    if forgotten:
        world.events.stop()
        world.events.start()
    refuse_once(world, refused)
    with world.lab() as first, pytest.raises(ConflictError, match="refused"):
        first.delete_vm("vm")
    left = {i for i, port in world.neutron.ports_by_id.items() if port.device_id}
    assert left == ({own} if refused == "delete_port" else {given})
    assert other not in world.neutron.ports_by_id
    assert not world.hosts["compute-1"].vifs_by_port
    # Its host can't tell any more whose they were.
    with world.lab() as second:
        assert second.delete_vm("vm") == [*left]
    assert set(world.neutron.ports_by_id) == {given}


def test_a_detach_that_neutron_refused_is_done_again(lab: Lab, world: World) -> None:
    boot(lab)
    second = lab.create_port(REQUEST).row.port_id
    refuse_once(world, "delete_port")
    with pytest.raises(ConflictError, match="refused"):
        lab.detach(second)
    assert lab.detach(second).deleted
    assert second not in world.neutron.ports_by_id


def test_of_a_shelved_vm_that_nova_forgot_no_port_is_deleted(lab: Lab, world: World) -> None:
    port_id = boot(lab)
    lab.shelve("vm")
    world.events.stop()
    world.events.start()
    with world.lab() as anew:
        anew.delete_vm("vm")
    assert world.neutron.ports_by_id[port_id].device_id == ""


def test_a_shelve_that_fails_leaves_the_vm_where_it_is(
    lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, given = boot(lab), give(lab, world)
    update = world.neutron.update_port

    def refuse(port_id: str, body: dict[str, object]) -> object:
        if port_id == given and body.get("binding:host_id", "") is None:
            raise FakevmError("Neutron: no")
        return update(port_id, body)

    monkeypatch.setattr(world.neutron, "update_port", refuse)
    with pytest.raises(FakevmError, match="no"):
        lab.shelve("vm")
    assert {world.neutron.ports_by_id[i].host for i in (own, given)} == {"compute-1"}
    assert not world.hosts["compute-1"].paused


def test_a_port_that_is_detached_is_deleted_unless_it_was_given(lab: Lab, world: World) -> None:
    own, given = boot(lab), give(lab, world)
    assert not lab.detach(given).deleted
    port = world.neutron.ports_by_id[given]
    assert (port.host, port.device_id, port.device_owner) == ("", "", "")
    assert lab.attach("vm", given).nic == "eth1"
    assert lab.detach(own).deleted
    assert set(world.neutron.ports_by_id) == {given}
    assert lab.show(given).differs == ""
    assert not any("last NIC" in text for text in world.said)
    lab.detach(given)
    assert any("last NIC of VM vm" in text for text in world.said)
    with pytest.raises(ConflictError, match="is no VM's"):
        lab.detach(given)


def test_what_is_bound_or_another_s_is_not_attached(lab: Lab, world: World) -> None:
    port_id = boot(lab)
    with pytest.raises(ConflictError, match="belongs to VM") as caught:
        lab.attach("other", port_id)
    assert caught.value.hint == f"fakevm detach {port_id}"
    with pytest.raises(ConflictError, match="is bound to compute-1 already"):
        lab.attach("vm", port_id)


def test_a_build_is_rescheduled_with_a_new_port(lab: Lab, world: World) -> None:
    made: list[str] = []
    world.hosts["compute-1"].on_plug = lambda _host, port_id: made.append(port_id)
    row = lab.create_port(replace(REQUEST, reschedule="compute-2")).row
    assert (row.host, row.status) == ("compute-2", "ACTIVE")
    assert made
    assert made[0] != row.port_id
    assert set(world.neutron.ports_by_id) == {row.port_id}
    assert not world.hosts["compute-1"].vifs_by_port
    assert any("rescheduled to compute-2" in text for text in world.said)


def test_only_a_boot_is_rescheduled_and_to_another_host(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="another host than compute-1"):
        lab.create_port(replace(REQUEST, reschedule="compute-1"))
    boot(lab)
    with pytest.raises(ConflictError, match="only a boot is rescheduled"):
        lab.create_port(replace(REQUEST, reschedule="compute-2"))


def test_a_cold_migration_is_reverted_or_confirmed_once(lab: Lab, world: World) -> None:
    port_id = boot(lab)
    away = MigrationRequest(destination="compute-2", kind="cold", confirm=False)
    back = MigrationRequest(destination="", kind="revert")
    with pytest.raises(ConflictError, match="no cold migration that could be reverted"):
        lab.migrate(port_id, back)
    lab.migrate(port_id, away)
    for request in (MigrationRequest(destination="compute-3"), away):
        with pytest.raises(ConflictError, match="is not confirmed") as caught:
            lab.migrate(port_id, replace(request, destination="compute-3"))
        assert "--revert" in caught.value.hint
    with pytest.raises(ConflictError, match="not confirmed"):
        lab.reboot("vm")
    assert lab.migrate(port_id, back).outcome == "moved"
    assert lab.show(port_id).plugged_host == "compute-1"
    lab.migrate(port_id, away)
    assert lab.confirm_migration(port_id) == "compute-1"
    with pytest.raises(ConflictError, match="no cold migration that is not confirmed"):
        lab.confirm_migration(port_id)
    assert lab.show(port_id).differs == ""


def test_a_revert_that_fails_leaves_nothing_to_confirm(lab: Lab, world: World) -> None:
    port_id = boot(lab)
    lab.migrate(port_id, MigrationRequest(destination="compute-2", kind="cold", confirm=False))
    world.hosts["compute-1"].broken["plug"] = ConflictError("no")
    with pytest.raises(ConflictError, match="no"):
        lab.migrate(port_id, MigrationRequest(destination="", kind="revert"))
    del world.hosts["compute-1"].broken["plug"]
    # As Nova leaves it: bound to where it was to go back to.
    assert lab.show(port_id).differs == "not plugged on compute-1"
    assert lab.plug(port_id).differs == ""
    with pytest.raises(ConflictError, match="no cold migration that is not confirmed"):
        lab.confirm_migration(port_id)
    assert lab.migrate(port_id, MigrationRequest(destination="compute-3")).outcome == "moved"


def test_the_end_of_a_vm_confirms_its_migration_first(lab: Lab, world: World) -> None:
    port_id = boot(lab)
    lab.migrate(port_id, MigrationRequest(destination="compute-2", kind="cold", confirm=False))
    lab.delete_vm("vm")
    assert not world.neutron.ports_by_id
    assert ("unplug", port_id) in world.hosts["compute-1"].calls
    lab.migrate(boot(lab), MigrationRequest(destination="compute-2"))


def test_a_vm_that_was_evacuated_or_unplugged_keeps_its_name(lab: Lab, world: World) -> None:
    port_id = boot(lab)
    world.engine.end("compute-1")
    del lab.containers
    lab.migrate(port_id, MigrationRequest(destination="compute-2", kind="evacuate"))
    assert lab.show(port_id).vm_name == "vm"
    lab.unplug(port_id)
    assert [row.vm_name for row in lab.rows()] == ["vm"]
    assert lab.plug(port_id).vm_name == "vm"


def test_a_vm_that_was_evacuated_is_deleted_with_its_own_ports(lab: Lab, world: World) -> None:
    own, given = boot(lab), give(lab, world)
    world.engine.end("compute-1")
    del lab.containers
    lab.migrate(own, MigrationRequest(destination="compute-2", kind="evacuate"))
    assert not world.hosts["compute-2"].vifs_by_port[own].preserve_on_delete
    assert sorted(lab.delete_vm("vm")) == sorted([own, given])
    assert set(world.neutron.ports_by_id) == {given}


def test_a_port_that_was_unplugged_is_still_the_vm_s_own(lab: Lab, world: World) -> None:
    own = boot(lab)
    lab.unplug(own)
    lab.plug(own)
    lab.delete_vm("vm")
    assert not world.neutron.ports_by_id


def test_a_vm_that_has_no_nic_boots_with_what_could_not_be_bound(lab: Lab, world: World) -> None:
    own = boot(lab)
    lab.unplug(own)
    port = world.neutron.ports_by_id[own]
    world.neutron.ports_by_id[own] = replace(port, vif_type="binding_failed")
    calls(world)
    assert lab.plug(own).differs == ""
    # Paused until its network is there, as at any boot.
    assert calls(world) == ["plug", "resume", "configure"]
    lab.unplug(own)
    lab.create_port(REQUEST)
    assert calls(world)[1:] == ["plug", "resume", "configure"]
    # It is the VM's own all the same.
    lab.delete_vm("vm")
    assert not world.neutron.ports_by_id


def test_an_evacuation_waits_for_no_event_that_has_been(
    lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    port_id = boot(lab)
    bind = world.neutron.update_port

    def quick(changed: str, body: dict[str, object]) -> object:
        """Have the destination's L2 agent report the port before anybody waits for it."""
        answer = bind(changed, body)
        if body.get("binding:host_id") == "compute-2":
            port = replace(world.neutron.ports_by_id[changed], status="ACTIVE")
            world.neutron.ports_by_id[changed] = port
            world.events.emit("network-vif-plugged", port.device_id, changed)
        return answer

    monkeypatch.setattr(world.neutron, "update_port", quick)
    # Nothing comes any more.
    world.hosts["compute-2"].wires = False
    request = MigrationRequest(destination="compute-2", kind="evacuate", force=True)
    report = lab.migrate(port_id, request)
    assert (report.outcome, world.neutron.ports_by_id[port_id].host) == ("moved", "compute-2")


def test_what_a_vm_was_given_after_it_was_shelved_is_never_its_own(lab: Lab, world: World) -> None:
    boot(lab)
    lab.shelve("vm")
    world.hosts["compute-2"].broken["configure"] = WaitTimeoutError("no address")
    with pytest.raises(WaitTimeoutError):
        lab.unshelve("vm", host="compute-2")
    del world.hosts["compute-2"].broken["configure"]
    given = give(lab, world)
    world.engine.end("compute-2")
    del lab.containers
    lab.migrate(given, MigrationRequest(destination="compute-3", kind="evacuate"))
    lab.delete_vm("vm")
    assert given in world.neutron.ports_by_id


def test_a_shelved_vm_comes_back_by_unshelve_alone(lab: Lab, world: World) -> None:
    own = boot(lab)
    lab.shelve("vm")
    port = world.neutron.create_port({"network_id": world.neutron.network("net").id})
    for act in (
        lambda: lab.create_port(REQUEST),
        lambda: lab.attach("vm", port.id),
        lambda: lab.plug(own),
    ):
        with pytest.raises(ConflictError, match="is shelved") as caught:
            act()
        assert caught.value.hint.startswith("fakevm unshelve")
    with pytest.raises(ConflictError, match="on no host") as caught:
        lab.detach(own)
    assert "unshelve" in caught.value.hint
    assert world.neutron.ports_by_id[own].device_id


def test_an_unshelve_that_failed_is_done_again_anywhere(lab: Lab, world: World) -> None:
    own, given = boot(lab), give(lab, world)
    lab.shelve("vm")
    world.hosts["compute-2"].broken["plug"] = ConflictError("no")
    for _ in range(2):
        with pytest.raises(ConflictError, match="no"):
            lab.unshelve("vm", host="compute-2")
    rows = lab.unshelve("vm", host="compute-3")
    assert [(row.port_id, row.host, row.differs) for row in rows] == [
        (own, "compute-3", ""),
        (given, "compute-3", ""),
    ]
    lab.delete_vm("vm")
    assert set(world.neutron.ports_by_id) == {given}


def test_a_paused_vm_is_shelved_and_stays_paused_if_that_fails(
    lab: Lab, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot(lab)
    lab.pause("vm")

    def refuse(_port_id: str, _body: object) -> object:
        raise FakevmError("Neutron: no")

    with monkeypatch.context() as patched:
        patched.setattr(world.neutron, "update_port", refuse)
        with pytest.raises(FakevmError, match="no"):
            lab.shelve("vm")
    assert [row.differs for row in lab.rows()] == ["VM vm is paused"]
    assert [row.host for row in lab.shelve("vm")] == [""]


def test_what_is_plugged_into_a_paused_vm_leaves_it_paused(lab: Lab, world: World) -> None:
    own = boot(lab)
    lab.pause("vm")
    assert lab.plug(own).differs == "VM vm is paused"
    with pytest.raises(ConflictError, match="is paused") as caught:
        give(lab, world)
    assert caught.value.hint == "fakevm unpause vm"
    (row,) = lab.resume("vm")
    assert row.differs == ""


def test_an_open_migration_whose_hosts_are_down_keeps_no_vm(lab: Lab, world: World) -> None:
    away = MigrationRequest(destination="compute-2", kind="cold", confirm=False)
    port_id = boot(lab)
    lab.migrate(port_id, away)
    world.engine.end("compute-2")
    del lab.containers
    assert lab.confirm_migration(port_id) == "compute-1"
    world.engine.end("compute-1")
    del lab.containers
    lab.delete_vm("vm")


def test_a_migration_that_arrived_is_open_whatever_fails_after_it(lab: Lab, world: World) -> None:
    port_id = boot(lab)
    world.hosts["compute-2"].broken["configure"] = WaitTimeoutError("no address")
    with pytest.raises(WaitTimeoutError):
        lab.migrate(port_id, MigrationRequest(destination="compute-2", kind="cold", confirm=False))
    elsewhere = MigrationRequest(destination="compute-3", kind="revert")
    with pytest.raises(ConflictError, match="came from compute-1, and goes back there"):
        lab.migrate(port_id, elsewhere)
    assert lab.migrate(port_id, replace(elsewhere, destination="")).destination == "compute-1"
    # What was open of a VM is not of another one of its name.
    lab.migrate(port_id, MigrationRequest(destination="compute-3", kind="cold", confirm=False))
    lab.delete_port(port_id)
    boot(lab)
    assert lab.reboot("vm")


def test_what_neutron_refuses_is_not_rescheduled(lab: Lab, world: World) -> None:
    world.hosts["compute-1"].broken["plug"] = UnavailableError("gone")
    with pytest.raises(UnavailableError, match="gone"):
        lab.create_port(replace(REQUEST, reschedule="compute-2"))
    assert not world.neutron.ports_by_id


def test_there_is_no_such_vm(lab: Lab) -> None:
    for act in (lab.reboot, lab.rebuild, lab.pause, lab.resume, lab.shelve, lab.unshelve):
        with pytest.raises(NotFoundError, match="there is no VM 'nobody'"):
            act("nobody")
