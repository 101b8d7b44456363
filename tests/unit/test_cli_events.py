"""`fakevm events`: what is shown of what came, and since when."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import datetime

import pytest

from fakevm.cli.vm.events import since
from fakevm.clients.events import cursor_at
from fakevm.display import output
from tests.unit.conftest import World
from tests.unit.test_cli import FakeSession, run

VM = "11111111-0000-4000-8000-000000000001"
OTHER = "11111111-0000-4000-8000-000000000002"
PORT = "aaaaaaaa-0000-4000-8000-000000000001"
SECOND = "bbbbbbbb-0000-4000-8000-000000000001"


@pytest.fixture
def session(world: World) -> FakeSession:
    """A lab that has seen two servers and a migration."""
    with world.lab() as lab:
        lab.events.register(VM, host="compute-1")
        world.events.emit("network-vif-plugged", VM, PORT)
        world.events.emit("network-vif-plugged", OTHER, SECOND)
        for status in ("started", "done"):
            lab.events.record("activate", status, source="source", instance_id=VM)
    return FakeSession(world)


def test_events_and_steps_stand_in_one_table(session: FakeSession) -> None:
    head, *lines = run(session, "events").stdout.splitlines()
    assert head.split() == ["TIME", "SOURCE", "WHAT", "STATUS", "ANSWER", "PORT", "VM"]
    rows = [line.split() for line in lines]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", row[0]) for row in rows)
    assert [row[2:] for row in rows] == [
        ["network-vif-plugged", "completed", "200", PORT, VM],
        ["network-vif-plugged", "completed", "404", SECOND, OTHER],
        ["activate", "started", "-", "-", VM],
        ["activate", "done", "-", "-", VM],
    ]
    assert len({line.index(row[-1]) for line, row in zip(lines, rows, strict=True)}) == 1


def test_json_is_an_object_a_line(session: FakeSession) -> None:
    found = [json.loads(line) for line in run(session, "events", "-f", "json").stdout.splitlines()]
    assert [(one["kind"], one["code"]) for one in found] == [
        ("event", 200),
        ("event", 404),
        ("step", 0),
        ("step", 0),
    ]
    assert found[0]["port_id"] == PORT
    again = run(session, "events", "-f", "json", "--since", str(found[2]["seq"])).stdout
    assert [json.loads(line) for line in again.splitlines()] == found[3:]


@pytest.mark.parametrize("ref", [SECOND, SECOND[:8], SECOND[:8].upper()])
def test_of_a_port_that_is_gone_what_came_is_shown(session: FakeSession, ref: str) -> None:
    (line,) = run(session, "events", "-f", "json", "--vif", ref).stdout.splitlines()
    assert json.loads(line)["port_id"] == SECOND


def test_of_a_port_that_is_gone_its_vm_s_steps_are_shown_too(session: FakeSession) -> None:
    lines = run(session, "events", "-f", "json", "--vif", PORT[:8]).stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == [
        "network-vif-plugged",
        "activate",
        "activate",
    ]


def test_of_a_port_that_is_there_its_vm_s_steps_are_shown_too(
    session: FakeSession, world: World
) -> None:
    created = run(session, "create-port", "-f", "json", "--name", "p", "net", "vm")
    port = json.loads(created.stdout)
    with world.lab() as lab:
        lab.events.record("plug", "done", source="compute-1", instance_id=port["instance_id"])
    lines = run(session, "events", "-f", "json", "--vif", "p").stdout.splitlines()
    shown = [json.loads(line) for line in lines]
    assert "plug" in [one["name"] for one in shown]
    assert {one["instance_id"] for one in shown} == {port["instance_id"]}


@pytest.mark.parametrize("ref", ["nope", "cccccccc", "cccccccc-0000-4000-8000-000000000001"])
def test_a_port_that_never_was_is_not_found(session: FakeSession, ref: str) -> None:
    result = run(session, "events", "--vif", ref)
    assert (result.exit_code, result.stdout) == (3, "")


def test_a_lab_without_the_service_is_told(session: FakeSession, world: World) -> None:
    world.engine.end("nova-events")
    result = run(session, "events")
    assert result.exit_code == 5
    assert "nova-events is exited" in result.stderr


def test_follow_ends_when_nobody_reads(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_read", lambda: False)
    result = run(session, "events", "--follow", "-f", "json")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 4)


def test_a_pipe_s_reader_is_seen_to_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with open(writer, "w") as stdout:  # noqa: PTH123  a descriptor
        monkeypatch.setattr("sys.stdout", stdout)
        assert output.is_read()
        os.close(reader)
        assert not output.is_read()


NOW = datetime(2026, 11, 22, 12, 0, 0).timestamp()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("5m", NOW - 300),
        ("1.5s", NOW - 1.5),
        ("250ms", NOW - 0.25),
        ("2h", NOW - 7200),
        ("1d", NOW - 86400),
        ("11:30", datetime(2026, 11, 22, 11, 30).timestamp()),
        ("11:30:15.250", datetime(2026, 11, 22, 11, 30, 15, 250_000).timestamp()),
        # Not yet today.
        ("12:30", datetime(2026, 11, 21, 12, 30).timestamp()),
        ("2026-11-20T08:00", datetime(2026, 11, 20, 8).timestamp()),
        ("2026-11-20 08:00:01Z", 1_795_161_601.0),
    ],
)
def test_a_time_has_a_cursor(text: str, moment: float) -> None:
    assert since(text, now=NOW) == cursor_at(moment)


def test_a_cursor_is_taken_as_it_is() -> None:
    cursor = cursor_at(time.time())
    assert since(str(cursor), now=NOW) == cursor
    assert since("0", now=NOW) == 0


@pytest.mark.parametrize(
    "text", ["", "5", "5x", "-5m", "25:00", "yesterday", "1" * 17, "５m", "nan"]
)
def test_what_is_no_time_is_a_usage_error(session: FakeSession, text: str) -> None:
    result = run(session, "events", "--since", text)
    assert result.exit_code == 2
    assert "--since" in result.stderr
