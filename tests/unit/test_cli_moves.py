"""`fakevm migrate` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from fakevm.errors import WaitTimeoutError
from fakevm.reports.tables import spread
from tests.unit.conftest import World
from tests.unit.test_cli import FakeSession, run


@pytest.fixture
def session(world: World) -> FakeSession:
    return FakeSession(world)


@pytest.fixture
def port_id(session: FakeSession) -> str:
    made = run(session, "create-port", "--host", "compute-1", "-f", "json", "net", "vm")
    return str(json.loads(made.stdout)["port_id"])


def test_a_dry_run_shows_the_steps_and_needs_no_lab(session: FakeSession) -> None:
    steps = json.loads(run(session, "migrate", "--dry-run", "-f", "json").stdout)
    assert [step["step"] for step in steps][:3] == ["bind", "register", "plug"]
    assert steps[0]["actor"] == "conductor"
    assert steps[0]["source"] == "LiveMigrationTask._bind_ports_on_destination"
    assert steps[0]["undo"] == "unbind the destination"
    cold = json.loads(run(session, "migrate", "--dry-run", "--cold", "-f", "json").stdout)
    assert cold[0]["step"] == "unplug"
    assert session.opened == []


def test_a_table_has_the_verdict_and_the_steps(session: FakeSession, port_id: str) -> None:
    result = run(session, "migrate", "compute-3", port_id)
    assert result.exit_code == 0
    assert "The VM moved within" in result.stdout
    assert "neutron.API.migrate_instance_finish" in result.stdout
    assert "activate (source)" not in result.stdout, "progress is for stderr"


def test_back_and_forth_ends_in_percentiles(session: FakeSession, port_id: str) -> None:
    result = run(session, "migrate", "--repeat", "3", "-f", "json", "compute-3", port_id)
    reports = json.loads(result.stdout)
    assert [report["destination"] for report in reports] == ["compute-3", "compute-1", "compute-3"]
    table = run(session, "migrate", "--repeat", "2", "compute-1", port_id).stdout
    assert "MEDIAN" in table
    assert "whole, s" in table


def test_back_and_forth_goes_on_where_the_vm_has_arrived(
    session: FakeSession, world: World, port_id: str
) -> None:
    world.neutron.broken["wait_until_active"] = WaitTimeoutError("port is DOWN after 5 s")
    result = run(session, "migrate", "--repeat", "3", "-f", "json", "compute-3", port_id)
    assert result.exit_code == 6
    assert "so ended 3 of 3 migrations" in result.stderr
    assert [report["outcome"] for report in json.loads(result.stdout)] == ["unsettled"] * 3
    table = run(session, "migrate", "--repeat", "1", "compute-1", port_id).stdout
    assert "The VM is on compute-1, but the migration failed at “wait for ACTIVE”" in table


def test_back_and_forth_ends_where_the_vm_does_not_arrive(
    session: FakeSession, port_id: str
) -> None:
    argv = ("migrate", "--repeat", "3", "--fail-at", "plug", "-f", "json", "compute-3", port_id)
    result = run(session, *argv)
    assert result.exit_code == 1
    assert "so ended 1 of 1 migrations" in result.stderr
    assert [report["outcome"] for report in json.loads(result.stdout)] == ["rolled back"]


def test_percentiles_are_values_that_were_measured() -> None:
    assert spread([1.0, 2.0, 3.0, 10.0]) == {
        "count": 4,
        "min": 1.0,
        "median": 2.0,
        "p95": 10.0,
        "max": 10.0,
    }


def test_the_report_is_written_also_of_a_failure(
    session: FakeSession, port_id: str, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    result = run(
        session, "migrate", "--report", str(page), "--fail-at", "wait", "compute-3", port_id
    )
    assert result.exit_code == 1
    assert "was made to fail" in result.stderr
    assert "rolled back" in page.read_text(encoding="utf-8")


def test_a_cold_migration_is_left_open_reverted_and_confirmed(
    session: FakeSession, port_id: str
) -> None:
    def migrate(*args: str) -> Result:
        result = run(session, "migrate", "--cold", *args, "-f", "json")
        assert result.exit_code == 0, result.stderr
        return result

    steps = json.loads(migrate("--no-confirm", "compute-3", port_id).stdout)["steps"]
    assert "confirm" not in {step["name"] for step in steps}
    report = json.loads(migrate("--revert", port_id).stdout)
    assert (report["kind"], report["destination"]) == ("revert", "compute-1")
    migrate("--no-confirm", "compute-2", port_id)
    told = json.loads(migrate("--confirm", port_id).stdout)
    assert told == [{"done": "confirmed that it came from compute-1"}]
    dry = json.loads(migrate("--revert", "--dry-run").stdout)
    assert dry[0]["step"] == "look at the bindings"


def test_an_abort_says_what_it_did(session: FakeSession, port_id: str) -> None:
    session.world.neutron.create_binding(port_id, "compute-2", vnic_type="normal", profile={})
    refused = run(session, "migrate", "compute-3", port_id)
    assert refused.exit_code == 4
    assert f"fakevm migrate --abort {port_id}" in refused.stderr
    result = run(session, "migrate", "--abort", "-f", "json", port_id)
    assert json.loads(result.stdout) == [{"done": f"deleted port {port_id}'s binding to compute-2"}]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("compute-3",), "expected DST VIF"),
        (("--abort",), "expected VIF"),
        (("--revert", "p"), "--revert is for a cold migration: give --cold, too"),
        (("--no-confirm", "compute-3", "p"), "--no-confirm is for a cold migration"),
        (("--cold", "--revert", "compute-3", "p"), "expected VIF"),
        (("--cold", "--no-confirm", "--repeat", "2", "c", "p"), "--repeat and --no-confirm"),
        (("--delay", "pause", "compute-3", "p"), "--delay pause: STEP=SECONDS"),
        (("--delay", "pause=x", "compute-3", "p"), "--delay pause=x: STEP=SECONDS"),
        (("--delay", "pause=-1", "compute-3", "p"), "at most 3600"),
        (("--report", "r.pdf", "compute-3", "p"), "ends in .html"),
        (("--report", "r.html", "--repeat", "2", "compute-3", "p"), "leave one out"),
        (("--rate", "0", "compute-3", "p"), "--rate"),
        (("--cold", "--post-copy", "compute-3", "p"), "--post-copy"),
        (("--fail-at", "nosuch", "compute-3", "p"), "no step 'nosuch'"),
        (("--dry-run", "--fail-at", "nosuch"), "no step 'nosuch'"),
        (("--dry-run", "--delay", "nosuch=1"), "no step 'nosuch'"),
        (("--dry-run", "--cold", "--post-copy"), "--post-copy"),
        (("--dry-run", "--report", "r.html", "--repeat", "2"), "leave one out"),
        (("--dry-run", "--abort", "p"), "leave one out"),
        (("--dry-run", "compute-3"), "expected DST VIF"),
    ],
)
def test_what_is_typed_wrong_is_a_usage_error(
    session: FakeSession, port_id: str, args: tuple[str, ...], words: str
) -> None:
    named = tuple(port_id if arg == "p" else arg for arg in args)
    result = run(session, "migrate", *named)
    assert result.exit_code == 2, result.stderr
    assert words in result.stderr
