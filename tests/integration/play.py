"""Scenarios as a user carries them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.integration.command import Result
from tests.integration.lab import Lab

# A scenario's exit codes.
SOUND, ELSEWHERE, FAULT = 0, 1, 10

# What each says of the default release, 28.0.2: its exit code on ML2/OVS and on ML2/OVN.
OUTCOMES: Mapping[str, tuple[int, int]] = {
    "stays-down": (SOUND, ELSEWHERE),
    "stale-binding": (FAULT, FAULT),
    "delete-active-binding": (FAULT, FAULT),
    "bind-nowhere": (FAULT, FAULT),
    "late-tap": (SOUND, SOUND),
    "early-plugged": (FAULT, FAULT),
    "lost-rarp": (SOUND, SOUND),
    "untagged-window": (FAULT, SOUND),
    "ignored-after-reboot": (SOUND, SOUND),
    "back-too-soon": (FAULT, ELSEWHERE),
    "forgotten-network": (FAULT, ELSEWHERE),
    "rolled-back-down": (SOUND, FAULT),
    "arrived-down": (ELSEWHERE, FAULT),
    "plugged-unwired": (FAULT, FAULT),
    "never-retried": (FAULT, ELSEWHERE),
    "barred-dhcp": (SOUND, FAULT),
    "former-vlan": (FAULT, FAULT),
    "moved-gateway": (SOUND, FAULT),
    "ipv6-metadata": (SOUND, FAULT),
    "moved-dhcp": (FAULT, ELSEWHERE),
    "marked-connections": (FAULT, ELSEWHERE),
    "lost-tunnels": (FAULT, ELSEWHERE),
    "hung-agent": (FAULT, ELSEWHERE),
    "few-tunnels": (FAULT, ELSEWHERE),
}

# They wait for the most part, and stop nothing that is another one's.
AT_ONCE = ("stale-binding", "late-tap", "forgotten-network")
ALONE = tuple(name for name in OUTCOMES if name not in AT_ONCE)


def tries(name: str, backend: str) -> tuple[str, ...]:
    """Return how often a scenario is to be tried: a fault that is there may be missed once.

    Once is enough of what is sound.
    """
    faulty = OUTCOMES[name][("ovs", "ovn").index(backend)] == FAULT
    return ("--tries", "3" if faulty else "1")


def play(lab: Lab, *args: str) -> Result:
    """Carry a scenario out; expect that nothing of it stays."""
    with _nothing_stays(lab):
        return _play(lab, *args)


def play_at_once(lab: Lab, names: Sequence[str]) -> dict[str, Result]:
    """Carry scenarios out, some at a time; expect that nothing of them stays."""
    with _nothing_stays(lab), ThreadPoolExecutor(3) as pool:
        played = pool.map(lambda name: _play(lab, name, *tries(name, lab.backend)), names)
        return dict(zip(names, played, strict=True))


def assert_found(result: Result, name: str, backend: str) -> None:
    """Expect of a scenario's end what is known of it."""
    wanted = OUTCOMES[name][("ovs", "ovn").index(backend)]
    assert result.exit_code == wanted, f"{result}"
    if wanted == ELSEWHERE:
        assert "it does not apply to ML2" in result.stderr
        return
    told = result.json()
    assert told["scenario"] == name
    assert told["outcome"] == ("fault" if wanted == FAULT else "sound")
    assert told["measured"]


def _play(lab: Lab, *args: str) -> Result:
    return lab.fakevm.run("scenario", "run", "-f", "json", *args)


@contextmanager
def _nothing_stays(lab: Lab) -> Iterator[None]:
    networks = {network.id for network in lab.sdk.network.networks()}
    ports = {port.id for port in lab.sdk.network.ports()}
    yield
    assert {network.id for network in lab.sdk.network.networks()} == networks
    assert {port.id for port in lab.sdk.network.ports()} == ports
    assert lab.fakevm.json("cleanup", "--dry-run") == []
