"""Scenarios find a fault where it is, nothing where it is not, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.command import Result
from tests.integration.conftest import LOGS
from tests.integration.lab import Lab

# What each says of the default release, 28.0.2: its exit code.
SOUND, FAULT = 0, 10
OUTCOMES = {
    "stays-down": SOUND,
    "stale-binding": FAULT,
    "delete-active-binding": FAULT,
    "bind-nowhere": FAULT,
}

# The release in which a migrated port stays DOWN.
FAULTY = "29.0.0"


@pytest.fixture
def faulty(lab: Lab) -> Iterator[Lab]:
    """A small lab of that release beside the session's."""
    faulty = Lab(f"{lab.name}-faulty")
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
    listed = [one["name"] for one in lab.fakevm.json("scenario", "list")]
    assert listed == list(OUTCOMES)


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_scenario_on_the_default_release(lab: Lab, name: str) -> None:
    result = play(lab, name)
    assert result.exit_code == OUTCOMES[name], f"{result}"
    told = result.json()
    assert told["scenario"] == name
    assert told["outcome"] == ("fault" if result.exit_code else "sound")
    assert told["measured"]


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
    assert "<svg" in page.read_text(encoding="utf-8")
