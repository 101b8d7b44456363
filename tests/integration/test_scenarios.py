"""Scenarios find a fault where it is, nothing where it is not, and leave nothing behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.command import Result, interrupt_when
from tests.integration.conftest import LOGS
from tests.integration.lab import Lab

# What each says of the default release, 28.0.2: its exit code.
SOUND, FAULT = 0, 10
OUTCOMES = {
    "stays-down": SOUND,
    "stale-binding": FAULT,
    "delete-active-binding": FAULT,
    "bind-nowhere": FAULT,
    "late-tap": SOUND,
    "early-plugged": FAULT,
    "lost-rarp": SOUND,
    "untagged-window": FAULT,
    "ignored-after-reboot": SOUND,
    "back-too-soon": FAULT,
    "forgotten-network": FAULT,
}

# The release in which a migrated port stays DOWN.
FAULTY = "29.0.0"


@pytest.fixture
def faulty() -> Iterator[Lab]:
    """A small lab of that release."""
    faulty = Lab(f"{os.environ.get('FAKEVM_TEST_LAB', 'test')}-faulty")
    try:
        faulty.fakevm.ok(
            "up", "--name", faulty.name, "--computes", "2", "--neutron-version", FAULTY
        )
        yield faulty
    finally:
        faulty.save_logs(LOGS / faulty.name)
        faulty.fakevm.ok("down", "--name", faulty.name)


def play(lab: Lab, *args: str) -> Result:
    """Carry a scenario out; expect that nothing of it stays."""
    networks = {network.id for network in lab.sdk.network.networks()}
    ports = {port.id for port in lab.sdk.network.ports()}
    result = lab.fakevm.run("scenario", "run", "-f", "json", *args)
    assert result.exit_code in (SOUND, FAULT), f"{result}"
    assert {network.id for network in lab.sdk.network.networks()} == networks
    assert {port.id for port in lab.sdk.network.ports()} == ports
    assert lab.fakevm.json("cleanup", "--dry-run") == []
    return result


def test_every_scenario_has_an_outcome_here(lab: Lab) -> None:
    listed = json.loads(lab.fakevm.ok("scenario", "list", "-f", "json"))
    assert [one["name"] for one in listed] == list(OUTCOMES)


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_scenario_on_the_default_release(lab: Lab, name: str) -> None:
    # Once is enough for what is known; how tries are counted needs no lab.
    result = play(lab, name, "--tries", "1")
    assert result.exit_code == OUTCOMES[name], f"{result}"
    told = result.json()
    assert told["scenario"] == name
    assert told["outcome"] == ("fault" if result.exit_code else "sound")
    assert told["measured"]


def test_nothing_stays_of_a_scenario_that_is_interrupted(lab: Lab) -> None:
    before = {port.id for port in lab.sdk.network.ports()}

    def seen() -> bool:
        return any(port.id not in before for port in lab.sdk.network.ports())

    running = lab.fakevm.start("scenario", "run", "stays-down")
    interrupt_when(running, "a port of the scenario", seen)
    assert running.returncode == 130
    assert {port.id for port in lab.sdk.network.ports()} == before
    names = [network.name for network in lab.sdk.network.networks()]
    assert [name for name in names if name.startswith("scenario-")] == []
    assert lab.fakevm.json("cleanup", "--dry-run") == []


def test_the_port_that_stays_down_is_found(faulty: Lab, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = play(faulty, "stays-down", "--report", str(page))
    assert result.exit_code == FAULT, f"{result}"
    told = result.json()
    assert told["neutron"] == FAULTY
    assert "DOWN on" in told["found"]
    assert told["measured"]["status_since_activate"] == ["DOWN"]
    # With l2population nobody finds the VM any more, until something else changes of its port.
    assert len(told["measured"]["flows"]) == 4
    assert all("at least" in fate for fate in told["measured"]["flows"].values())
    assert told["measured"]["active_after_another_update_s"] < 20
    assert "did not come back" in page.read_text(encoding="utf-8")
