"""Scenarios find a fault where it is, nothing where it is not, and leave nothing behind."""

from __future__ import annotations

import json

import pytest

from tests.integration.command import Result, interrupt_when
from tests.integration.lab import Lab
from tests.integration.nightly import by_night
from tests.integration.play import ALONE, AT_ONCE, OUTCOMES, assert_found, play, play_at_once, tries


def test_every_scenario_has_an_outcome_here(lab: Lab) -> None:
    listed = json.loads(lab.fakevm.ok("scenario", "list", "-f", "json"))
    assert [one["name"] for one in listed] == list(OUTCOMES)


@pytest.fixture(scope="module")
def at_once(lab: Lab) -> dict[str, Result]:
    """What came of those that may run side by side."""
    return play_at_once(lab, AT_ONCE)


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_scenario_beside_others(lab: Lab, at_once: dict[str, Result], name: str) -> None:
    assert_found(at_once[name], name, lab.backend)


@pytest.mark.parametrize("name", by_night(*ALONE))
def test_a_scenario(lab: Lab, name: str) -> None:
    assert_found(play(lab, name, *tries(name, lab.backend)), name, lab.backend)


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
