"""Scenarios as a user carries them out."""

from __future__ import annotations

from tests.integration.command import Result
from tests.integration.lab import Lab

# A scenario's exit codes.
SOUND, FAULT = 0, 10


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
