"""Scenarios: what there is, what is printed, the exit code, and that nothing stays."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

import fakevm.scenarios.known
from fakevm.errors import (
    ConfigError,
    ConflictError,
    FakevmError,
    NotFoundError,
    UnavailableError,
    WaitTimeoutError,
)
from fakevm.inventory.dhcp import DhcpServer
from fakevm.migrate.request import MigrationRequest
from fakevm.protocol.interrupt import Terminated
from fakevm.scenarios.faults import (
    arrived_down,
    back_too_soon,
    early_plugged,
    few_tunnels,
    forgotten_network,
    former_vlan,
    frames,
    hung_agent,
    ipv6_metadata,
    leases,
    lost_tunnels,
    marked_connections,
    moved_dhcp,
    moved_gateway,
    never_retried,
    plugged_unwired,
    stays_down,
)
from fakevm.scenarios.faults.back_too_soon import Back
from fakevm.scenarios.faults.leases import Lease
from fakevm.scenarios.known import SCENARIOS, find
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage
from fakevm.scenarios.tries import carry_out, together
from tests.fakes.migration import make_report
from tests.unit.conftest import World
from tests.unit.test_cli import FakeSession, run


@pytest.fixture
def session(world: World) -> FakeSession:
    return FakeSession(world)


@pytest.fixture
def as_before(world: World) -> Callable[[], bool]:
    """Tells whether the lab is as it was."""
    before = dict(world.neutron.networks)

    def unchanged() -> bool:
        hosts = world.hosts.values()
        ports = world.neutron.ports_by_id
        return (
            world.neutron.networks == before
            and not world.neutron.things
            and not ports
            and not any(h.vifs_by_port for h in hosts)
        )

    return unchanged


def make_scenario(act: Callable[[Stage], Finding]) -> Scenario:
    return Scenario(
        name="a-play",
        letter="Z",
        title="a title",
        shows="what it shows",
        reference="LP #1",
        expects="all is well",
        run=act,
        migrates=True,
    )


def let_there_be(monkeypatch: pytest.MonkeyPatch, act: Callable[[Stage], Finding]) -> None:
    monkeypatch.setattr(fakevm.scenarios.known, "SCENARIOS", (make_scenario(act),))


def test_each_scenario_says_what_it_is_about() -> None:
    assert len({one.name for one in SCENARIOS}) == len({one.letter for one in SCENARIOS})
    for one in SCENARIOS:
        assert re.fullmatch(r"[a-z0-9-]+", one.name)
        assert one.title
        assert one.shows.endswith(".")
        assert one.expects.endswith(".")
        assert re.search(r"LP #\d{7}|no bug number is known", one.reference)
        assert find(one.name) is find(one.letter) is find(one.letter.lower()) is one


def test_an_unknown_scenario_is_told_those_that_there_are(session: FakeSession) -> None:
    with pytest.raises(ConfigError, match="stays-down"):
        find("nope")
    result = run(session, "scenario", "run", "nope")
    assert result.exit_code == 2
    assert all(one.name in result.stderr for one in SCENARIOS)
    assert session.opened == []


def test_the_list_names_each_with_its_reference(session: FakeSession) -> None:
    listed = json.loads(run(session, "scenario", "list", "-f", "json").stdout)
    assert [one["name"] for one in listed] == [one.name for one in SCENARIOS]
    assert all(one["reference"] and one["expects"] and one["shows"] for one in listed)
    head, *lines = run(session, "scenario", "list").stdout.splitlines()
    assert head.split()[:2] == ["NAME", "LETTER"]
    assert len(lines) == len(SCENARIOS)


@pytest.mark.parametrize("command", ["list", "run"])
def test_its_commands_have_the_formats_and_the_lab(session: FakeSession, command: str) -> None:
    text = run(session, "scenario", command, "--help").stdout
    assert "--format" in text
    assert "--lab" in text


@pytest.mark.parametrize(("fault", "code", "outcome"), [(False, 0, "sound"), (True, 10, "fault")])
def test_the_exit_code_tells_whether_the_fault_is_there(
    monkeypatch: pytest.MonkeyPatch, session: FakeSession, fault: bool, code: int, outcome: str
) -> None:
    measured = {"put": 500, "flows": {"there": "1 of 2 lost"}}
    let_there_be(monkeypatch, lambda _: Finding(fault=fault, words="seen", measured=measured))
    result = run(session, "scenario", "run", "--lab", "mine", "a-play", "-f", "json")
    assert result.exit_code == code
    assert json.loads(result.stdout) == {
        "scenario": "a-play",
        "neutron": "28.0.2",
        "outcome": outcome,
        "found": "seen",
        "expected": "all is well",
        "reference": "LP #1",
        "measured": measured,
    }
    assert session.opened == [("mine", 60.0)]
    table = run(session, "scenario", "run", "z")
    assert table.exit_code == code
    assert "flows, there  1 of 2 lost" in table.stdout


@pytest.mark.parametrize("error", [NotFoundError, ConflictError, WaitTimeoutError])
def test_what_cannot_be_carried_out_has_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, session: FakeSession, error: type[WaitTimeoutError]
) -> None:
    def fail(stage: Stage) -> Finding:
        raise error("no luck", hint="the mend")

    let_there_be(monkeypatch, fail)
    result = run(session, "scenario", "run", "a-play")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "a-play could not be carried out: no luck\nHint: the mend" in result.stderr


def test_without_a_lab_it_could_not_be_carried_out(session: FakeSession) -> None:
    session.world.engine.all_containers = []
    result = run(session, "scenario", "run", "stays-down")
    assert result.exit_code == 1
    assert "Hint: fakevm up" in result.stderr


def test_two_hosts_are_needed(session: FakeSession) -> None:
    session.world.engine.end("compute-2")
    session.world.engine.end("compute-3")
    result = run(session, "scenario", "run", "stays-down")
    assert result.exit_code == 1
    assert "Hint: fakevm up --computes 2" in result.stderr


def test_a_report_is_a_page_of_the_migration(
    monkeypatch: pytest.MonkeyPatch, session: FakeSession, tmp_path: Path
) -> None:
    finding = Finding(fault=True, words="seen", report=make_report())
    let_there_be(monkeypatch, lambda _: finding)
    page = tmp_path / "page.html"
    result = run(session, "scenario", "run", "a-play", "--report", str(page))
    assert result.exit_code == 10
    assert "<html" in page.read_text(encoding="utf-8")
    assert run(session, "scenario", "run", "a-play", "--report", "page.txt").exit_code == 2


def test_a_page_of_a_scenario_without_a_migration_is_refused(session: FakeSession) -> None:
    result = run(session, "scenario", "run", "bind-nowhere", "--report", "page.html")
    assert result.exit_code == 2
    assert session.opened == []


def tried(world: World, *faults: bool, tries: int | None = None) -> tuple[Finding, list[Stage]]:
    """Carry out a scenario that finds these; return what comes of it, and on which stages."""
    stages: list[Stage] = []

    def act(stage: Stage) -> Finding:
        stages.append(stage)
        stage.vm(stage.network(), "vm", "compute-1")
        number = len(stages)
        return Finding(fault=faults[number - 1], words=f"Try {number}.", measured={"try": number})

    scenario = replace(make_scenario(act), tries=len(faults))
    with world.lab() as lab:
        found = carry_out(scenario, lab, tries=tries, timeout_s=5, say=world.said.append)
    return found, stages


def test_a_race_is_tried_until_the_fault_comes(world: World, as_before: Callable[[], bool]) -> None:
    found, stages = tried(world, False, True, False)
    assert found.fault
    assert found.words == "In 1 of 2 tries: Try 2."
    assert found.measured == {"tries": "1 of 2", "try": 2}
    # Each on a stage of its own.
    assert len({id(stage) for stage in stages}) == 2
    assert as_before()


def test_neutron_is_called_sound_after_all_tries(world: World) -> None:
    found, _ = tried(world, False, False, False)
    assert not found.fault
    assert found.words == "In none of 3 tries; in the last: Try 3."
    assert found.measured == {"tries": "0 of 3", "try": 3}


def test_the_number_of_tries_can_be_given(world: World) -> None:
    found, stages = tried(world, False, True, tries=1)
    assert (found.fault, found.words, len(stages)) == (False, "Try 1.", 1)
    assert "tries" not in found.measured
    found, stages = tried(world, False, False, True, tries=2)
    assert (found.measured["tries"], len(stages)) == ("0 of 2", 2)


def test_the_first_fault_is_told_with_its_migration() -> None:
    report = make_report()
    sound = Finding(fault=False, words="Sound.", report=make_report(lasts=True))
    fault = Finding(fault=True, words="Fault.", report=report)
    assert together([sound, fault, replace(fault, words="Again.")], wanted=3).report is report
    assert together([fault], wanted=3).words == "In the first try: Fault."
    assert together([fault], wanted=1) is fault


def test_the_command_takes_a_number_of_tries(
    monkeypatch: pytest.MonkeyPatch, session: FakeSession
) -> None:
    let_there_be(monkeypatch, lambda _: Finding(fault=False, words="seen."))
    result = run(session, "scenario", "run", "a-play", "--tries", "2", "-f", "json")
    assert json.loads(result.stdout)["measured"] == {"tries": "0 of 2"}
    assert run(session, "scenario", "run", "a-play", "--tries", "0").exit_code == 2


def play(world: World, end: BaseException | None = None, *, breaks: str = "") -> None:
    """Make all sorts of things on a stage, and end in some way."""
    with world.lab() as lab, Stage(lab, "play", timeout_s=5, say=world.said.append) as stage:
        source, destination = stage.hosts
        vm = stage.vm(stage.network(), "vm", source)
        stage.vm(stage.network(), "other", destination)
        stage.neutron.create_binding(vm.id, destination, vnic_type="normal", profile={})
        stage.make("router")
        if breaks:
            world.hosts[source].broken[breaks] = WaitTimeoutError("stuck")
        if end:
            raise end


def test_nothing_stays(world: World, as_before: Callable[[], bool]) -> None:
    play(world)
    made = [subject for method, subject in world.neutron.writes if method == "create_network"]
    assert len(made) == 2
    assert as_before()


def test_what_is_made_last_is_removed_first(world: World, as_before: Callable[[], bool]) -> None:
    with world.lab() as lab, Stage(lab, "play", timeout_s=5, say=world.said.append) as stage:
        group = stage.make("security_group")
        outside = stage.network()
        router = stage.make("router", external_gateway_info={"network_id": outside.id})
        assert router["name"].startswith("scenario-play-")
        world.neutron.writes.clear()
    removed = [subject for _, subject in world.neutron.writes]
    assert removed == [f"/routers/{router['id']}", outside.id, f"/security-groups/{group['id']}"]
    assert as_before()


def test_what_is_gone_already_is_no_failure(world: World, as_before: Callable[[], bool]) -> None:
    with world.lab() as lab, Stage(lab, "play", timeout_s=5, say=world.said.append) as stage:
        router = stage.make("router")
        world.neutron.write("DELETE", f"/routers/{router['id']}")
        stage.neutron.delete_network(stage.network().id)
    assert as_before()


@pytest.mark.parametrize("end", [ConflictError, KeyboardInterrupt, Terminated, ZeroDivisionError])
def test_nothing_stays_of_a_failure(
    world: World, as_before: Callable[[], bool], end: type[BaseException]
) -> None:
    with pytest.raises(end):
        play(world, end("no") if issubclass(end, FakevmError) else end())
    assert as_before()


def test_what_can_not_be_removed_is_told_with_what_failed(world: World) -> None:
    with pytest.raises(ConflictError, match="first") as caught:
        play(world, ConflictError("first"), breaks="unplug")
    assert "stuck" in caught.value.__notes__[0]
    with pytest.raises(FakevmError, match="stuck"):
        play(world, breaks="unplug")


@pytest.mark.parametrize("answers", [True, False])
def test_a_migration_s_failure_is_a_finding_only_where_it_may_be(
    world: World, answers: bool
) -> None:
    with world.lab() as lab, Stage(lab, "play", timeout_s=5, say=world.said.append) as stage:
        vm = stage.vm(stage.network(), "vm", "compute-1")
        request = MigrationRequest(destination="compute-2")
        method = "wait_until_active" if answers else "activate_binding"
        world.neutron.broken[method] = WaitTimeoutError("DOWN")
        if answers:
            report = stage.migrate(vm, request, may_fail=["wait for ACTIVE"])
            assert report.outcome == "unsettled"
        else:
            with pytest.raises(WaitTimeoutError):
                stage.migrate(vm, request, may_fail=["wait for ACTIVE"])
        world.neutron.broken.clear()


def test_what_does_not_apply_to_the_backend_is_refused_with_the_reason(world: World) -> None:
    scenario = replace(
        make_scenario(lambda _: pytest.fail("played")), not_on={"ovs": "it has none"}
    )
    with (
        world.lab() as lab,
        pytest.raises(ConflictError, match=r"does not apply to ML2/OVS: it has none"),
    ):
        carry_out(scenario, lab, timeout_s=5, say=world.said.append)


def test_a_lab_with_another_l2_agent_has_other_faults(world: World) -> None:
    scenario = make_scenario(lambda _: pytest.fail("played"))
    with world.lab() as lab:
        lab.options["l2-agent"] = "lane-agent"
        with pytest.raises(ConflictError, match="hosts have lane-agent"):
            carry_out(scenario, lab, timeout_s=5, say=world.said.append)


@pytest.mark.parametrize(("status", "fault"), [("DOWN", True), ("ACTIVE", False)])
def test_a_port_that_is_down_where_its_vm_has_arrived(status: str, fault: bool) -> None:
    way = "claimed before it was released"
    found = arrived_down.judge(make_report(), way=way, status=status, up="up")
    assert found.fault == fault
    assert found.measured == {"way": way, "status": status, "northbound": "up", "dead_flows": 0}
    assert way in found.words
    if fault:
        assert "it is DOWN on compute-2, and up in the northbound" in found.words
        assert "all the same" in found.words


@pytest.mark.parametrize(("busy_s", "fault"), [(0.0, False), (60.0, True)])
def test_an_event_before_the_destination_could_wire_the_vif(busy_s: float, fault: bool) -> None:
    report = make_report()
    announced = next(step.start for step in report.steps if step.name == "announce")
    found = plugged_unwired.judge(report, goes_on=announced + busy_s)
    assert found.fault == fault
    assert found.measured["vif_plugged_after_s"]
    assert ("without network for" in found.words) == fault


def test_a_port_that_gets_active_and_packets_that_get_through_are_sound() -> None:
    found = stays_down.judge(make_report(), status="ACTIVE", host="compute-2")
    assert not found.fault
    assert re.search(r"ACTIVE [0-9.]+ s after the activation", found.words)
    assert list(found.measured["status_since_activate"]) == ["ACTIVE", "DOWN", "ACTIVE"]
    assert len(found.measured["flows"]) == 4


def test_a_port_that_stays_down_is_the_fault_whether_packets_get_through_or_not() -> None:
    lasts = stays_down.judge(make_report(lasts=True), status="DOWN", host="compute-2")
    assert lasts.fault
    assert "DOWN on compute-2" in lasts.words
    assert "in 4 of 4 flows" in lasts.words
    assert lasts.measured["active_after_s"] is None
    without_l2population = stays_down.judge(make_report(), status="DOWN", host="compute-2")
    assert without_l2population.fault
    assert "all the same" in without_l2population.words


def test_packets_that_do_not_get_through_are_the_fault_though_the_port_is_active() -> None:
    assert stays_down.judge(make_report(lasts=True), status="ACTIVE", host="compute-2").fault


def on_fakes(world: World, name: str) -> Finding:
    with world.lab() as lab, Stage(lab, name, timeout_s=1, say=world.said.append) as stage:
        return find(name).run(stage)


def test_a_stale_binding_is_no_fault_where_the_port_gets_bound(
    world: World, as_before: Callable[[], bool]
) -> None:
    found = on_fakes(world, "stale-binding")
    assert not found.fault
    assert found.measured["host"] == "compute-2"
    assert as_before()


def test_a_binding_to_nowhere_is_no_fault_where_it_is_refused(world: World) -> None:
    world.neutron.refusals["create_binding"] = 409
    assert not on_fakes(world, "bind-nowhere").fault
    world.neutron.refusals["create_binding"] = 500
    assert on_fakes(world, "bind-nowhere").fault


def test_an_active_binding_that_can_not_be_deleted_is_sound(world: World) -> None:
    world.neutron.refusals["delete_binding"] = 409
    assert on_fakes(world, "delete-active-binding").measured == {"delete_active": 409}


@pytest.mark.parametrize("method", ["activate_binding", "update_port"])
def test_a_port_that_can_not_be_bound_again_is_the_fault(world: World, method: str) -> None:
    def refuse(called: str) -> None:
        # Not while it is booted.
        if called == "delete_binding":
            world.neutron.refusals[method] = 500

    world.neutron.before = refuse
    assert on_fakes(world, "delete-active-binding").fault


def test_a_neutron_that_is_away_has_no_fault(world: World) -> None:
    world.neutron.broken["delete_binding"] = UnavailableError("Neutron does not answer")
    with pytest.raises(UnavailableError):
        on_fakes(world, "delete-active-binding")


def test_a_vm_that_is_wired_again_in_spite_of_a_stale_binding_is_sound(world: World) -> None:
    assert not on_fakes(world, "ignored-after-reboot").fault


def test_the_events_of_a_live_migration_are_judged_until_the_pause() -> None:
    report = make_report()
    announced = next(step for step in report.steps if step.name == "announce").start
    wired_at = announced + 0.3
    found = early_plugged.judge(report, wired_at=wired_at)
    # make_report's Neutron binds the port anew, which takes it DOWN for a moment.
    assert found.words == "network-vif-unplugged came while the VM ran at the source."
    assert found.measured["wired_after_s"] == 0.3
    assert len(found.measured["vif_plugged_after_s"]) == 1
    assert set(found.measured["lost_before_the_pause"].values()) == {0}

    calm = replace(
        report, events=tuple(one for one in report.events if one.name == "network-vif-plugged")
    )
    assert not early_plugged.judge(calm, wired_at=wired_at).fault
    for late in (announced + 60, None):
        assert "before the VIF was wired" in early_plugged.judge(calm, wired_at=late).words
    twice = replace(calm, events=(*calm.events[:1], *calm.events))
    assert "came 2 times" in early_plugged.judge(twice, wired_at=wired_at).words


def test_an_ovs_port_that_is_gone_when_the_vm_is_back_is_the_fault() -> None:
    away = make_report()
    back = replace(away, destination="compute-1", ended=away.started + 2.9)
    gone = Back(status="DOWN", plugged=False, active_after_s=None)
    found = back_too_soon.judge(gone, away=away, back=back)
    assert found.fault
    assert found.words.startswith("The VM was back on compute-1 after 2.9 s, and then")
    assert (found.measured["ovs_port"], found.measured["status"]) == ("deleted", "DOWN")
    assert found.report is back
    # Whether the port is ACTIVE is another scenario's subject.
    for status in ("ACTIVE", "DOWN"):
        there = Back(status=status, plugged=True, active_after_s=0.5)
        assert not back_too_soon.judge(there, away=away, back=back).fault


def test_a_vm_without_a_lease_is_the_fault_whoever_has_its_port() -> None:
    served = [DhcpServer(host="network-1", alive=True, has_network=True, has_port=False)]
    found = forgotten_network.judge(served, leased_after_s=None, after_an_update_s=1.7)
    assert found.fault
    assert "the DHCP agent of network-1 does not have this port" in found.words
    assert "1.7 s after the IPv4 subnet's name was changed" in found.words
    assert found.measured["leased_after_another_update_s"] == 1.7
    never = forgotten_network.judge(served, leased_after_s=None, after_an_update_s=None)
    assert "It had none even after" in never.words
    has = [replace(served[0], has_port=True)]
    sound = forgotten_network.judge(has, leased_after_s=1.2, after_an_update_s=None)
    assert not sound.fault
    assert sound.words == "The VM had its address by DHCP after 1.2 s."


def test_a_port_that_an_l2_agent_does_not_come_back_to_is_the_fault() -> None:
    assert not never_retried.judge(active_after_s=1.1).fault
    healed = never_retried.judge(active_after_s=None, after_an_update_s=0.9)
    assert healed.fault
    assert healed.words.endswith("it was 0.9 s after the port's name was changed.")
    assert healed.measured == {"active_after_s": None, "active_after_another_update_s": 0.9}
    never = never_retried.judge(active_after_s=None)
    assert never.words.endswith("it was not even after the port's name was changed.")


@pytest.mark.parametrize(
    ("carried", "unplugged", "after_s", "words"),
    [
        ({7}, 2, None, ""),
        ({6}, 0, 1.5, "packets are in 6: not in the new one by themselves, but 1.5 s after"),
        ({6, 7}, 0, None, "packets are in 6 and 7: not in the new one by themselves, nor after"),
        (set(), 0, None, "packets are in no VLAN: not in"),
        ({7}, 5, None, "Nova was told 5 times that a VIF was unplugged"),
    ],
)
def test_vms_that_are_not_in_their_network_s_vlan_or_come_and_go_are_the_fault(
    carried: set[int], unplugged: int, after_s: float | None, words: str
) -> None:
    found = former_vlan.judge(
        carried, former=6, new=7, unplugged=unplugged, after_an_update_s=after_s
    )
    assert found.fault == bool(words)
    assert (words or "and its VMs reach each other there.") in found.words
    assert found.measured["carried_in"] == sorted(carried)


def test_a_gateway_that_does_not_answer_where_its_port_is_is_the_fault() -> None:
    assert not moved_gateway.judge(
        moved_after_s=1.3, former_answers=False, set_again_after_s=None
    ).fault
    kept = moved_gateway.judge(moved_after_s=None, former_answers=True, set_again_after_s=0.1)
    assert kept.fault
    assert "within 8 s, but still at its former one; it did 0.1 s after" in kept.words
    lost = moved_gateway.judge(moved_after_s=None, former_answers=False, set_again_after_s=None)
    assert "within 8 s; it did not even after" in lost.words


def test_a_vm_that_is_not_told_its_metadata_is_the_fault() -> None:
    sound = ipv6_metadata.judge(told_after_s=0.4, with_checksums_after_s=None)
    assert (sound.fault, sound.measured) == (False, {"told_after_s": 0.4})
    healed = ipv6_metadata.judge(told_after_s=None, with_checksums_after_s=0.1)
    assert healed.fault
    assert "within 10 s; it was 0.1 s after the answers' checksums were filled in" in healed.words


def test_dhcp_that_is_not_answered_from_its_port_s_address_is_the_fault() -> None:
    new, former = moved_dhcp.ADDRESS, "192.0.2.2"
    sound = moved_dhcp.judge(new, former=former, moved_after_s=1.0, after_another_subnet_s=None)
    assert (sound.fault, sound.measured["leased_from"]) == (False, new)
    healed = moved_dhcp.judge(former, former=former, moved_after_s=None, after_another_subnet_s=2.1)
    assert healed.fault
    assert "answered from 192.0.2.2, though" in healed.words
    assert "but 2.1 s after another subnet was made" in healed.words
    silent = moved_dhcp.judge("", former=former, moved_after_s=None, after_another_subnet_s=None)
    assert "answered from nowhere" in silent.words
    assert silent.measured["leased_from"] is None


def test_an_agent_without_flows_is_the_fault() -> None:
    sound = hung_agent.judge(starts=8, hung=False)
    assert (sound.fault, sound.measured) == (False, {"starts": 8, "hung": False})
    faulty = hung_agent.judge(starts=2, hung=True)
    assert faulty.fault
    assert "In start 2 the L2 agent had no flow after 20 s" in faulty.words


def test_a_connection_that_an_l2_agent_s_restart_cuts_is_the_fault() -> None:
    sound = marked_connections.judge(cut=0, new=0)
    assert (sound.fault, sound.measured) == (False, {"connections": 5, "cut": 0})
    faulty = marked_connections.judge(cut=4, new=4)
    assert faulty.fault
    assert "4 of 5 connections were cut" in faulty.words
    assert "of the 4 VMs 4 answered a new one" in faulty.words
    assert faulty.measured == {"connections": 5, "cut": 4, "new_ones_answered": 4}


def test_a_vm_that_reaches_no_dhcp_agent_any_more_is_the_fault() -> None:
    sound = few_tunnels.judge(0, peer_lost=0, after_restart_s=None)
    assert (sound.fault, sound.measured) == (False, {"vms": 3, "dhcp_lost": 0, "peer_lost": 0})
    faulty = few_tunnels.judge(3, peer_lost=1, after_restart_s=0.5)
    assert faulty.fault
    assert "3 of 3 VMs did not reach the DHCP agent within 8 s, 1 not the host" in faulty.words
    assert "; 0.5 s after a restart of their L2 agent the first did." in faulty.words
    assert faulty.measured["reached_after_restart_s"] == 0.5
    stays = few_tunnels.judge(1, peer_lost=0, after_restart_s=None)
    assert "a restart of their L2 agent does not mend it" in stays.words


def test_a_vm_that_is_lost_after_its_l2_agent_s_restart_is_the_fault() -> None:
    sound = lost_tunnels.judge(0, after_another_restart_s=None)
    assert (sound.fault, sound.measured) == (False, {"vms": 3, "lost": 0})
    healed = lost_tunnels.judge(3, after_another_restart_s=0.1)
    assert healed.fault
    assert "3 of 3 VMs were not reached" in healed.words
    assert "but the first 0.1 s after another restart" in healed.words
    assert "nor after another" in lost_tunnels.judge(1, after_another_restart_s=None).words


@pytest.mark.parametrize(
    ("said", "exit_code", "server"),
    [
        ("DHCPOFFER of 10.0.0.5 from 10.0.0.2\nDHCPACK of 10.0.0.5 from 10.0.0.2\n", 0, "10.0.0.2"),
        ("No DHCPOFFERS received.\n", 2, ""),
        ("DHCPDISCOVER on eth0\n", 124, ""),
        ("bind: Address already in use\n", 1, None),
    ],
)
def test_a_dhcp_client_asks_once(
    world: World, said: str, exit_code: int, server: str | None
) -> None:
    def program(_stdin: object, write: Callable[[str, bytes], None], _end: Event) -> int:
        write("stderr", said.encode())
        return exit_code

    world.agents["compute-1"].programs["sh"] = program
    with world.lab() as lab, Stage(lab, "play", timeout_s=5, say=world.said.append) as stage:
        vm = stage.vm(stage.network(), "vm", "compute-1")
        if server is None:
            with pytest.raises(FakevmError, match=r"exit code 1 .*already in use"):
                leases.asked(stage, vm)
        elif server:
            lease = leases.asked(stage, vm)
            assert lease.server == server
            assert lease.seconds is not None
        else:
            assert leases.asked(stage, vm) == Lease()


def test_an_address_is_asked_until_it_answers(world: World) -> None:
    codes = iter([1, 1, 0])
    world.agents["compute-1"].programs["ping"] = lambda *_: next(codes, 1)
    with world.lab() as lab, Stage(lab, "play", timeout_s=5, say=world.said.append) as stage:
        vm = stage.vm(stage.network(), "vm", "compute-1")
        assert stage.answered_after(vm, "192.0.2.9", within_s=5) is not None
        assert stage.answered_after(vm, "192.0.2.9", within_s=0) is None


def test_a_program_s_lines_are_read_as_long_as_the_block_lasts(world: World) -> None:
    ended = []

    def program(_stdin: object, write: Callable[[str, bytes], None], end: Event) -> int:
        write("stdout", b"one\ntw")
        write("stdout", b"o\nthr")
        ended.append(end.wait(5))
        return 143

    for agent in world.agents.values():
        agent.programs["talkative"] = program
    with world.lab() as lab, Stage(lab, "play", timeout_s=5, say=world.said.append) as stage:
        vm = stage.vm(stage.network(), "vm", "compute-1")
        with stage.running(vm, "talkative") as lines:
            assert stage.seconds_until(lambda: len(lines) == 2) is not None
        assert lines == ["one", "two"]
        assert ended == [True]
        # It is never plugged there.
        with stage.running(vm, "talkative", host="compute-2") as lines:
            pass
        assert lines == []
        with pytest.raises(FakevmError, match=r"`complain ouch 3` failed in VM .*: ouch"):
            stage.in_vm(vm, "complain", "ouch", "3")


def test_frames_are_told_by_their_times() -> None:
    assert frames.times(["ready", "1.5", "2"]) == [1.5, 2.0]
    assert frames.times([]) == []
    assert frames.talk("fa:16:3e:00:00:01", to=frames.ALL)[-2:] == ("ffffffffffff", "fa163e000001")
