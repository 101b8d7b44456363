"""Scenarios find a fault where it is, nothing where it is not, and leave nothing behind."""

from __future__ import annotations

import json

import pytest

from tests.integration.command import interrupt_when
from tests.integration.lab import Lab
from tests.integration.play import FAULT, SOUND, play

# What each says of the default release, 28.0.2: its exit code.
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
    "rolled-back-down": SOUND,
}


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
