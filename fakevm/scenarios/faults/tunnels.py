"""Whether VMs reach those of other hosts, for the scenarios about tunnels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from fakevm.neutron.values import Port
from fakevm.scenarios.stage import Stage

# Of two Neutron tells an L2 agent all tunnels in any case (l2pop/mech_driver.py, update_port_up).
VMS = 3

# How long something may take to be reached that has been before.
REACHED_S = 8.0


def lost(stage: Stage, ways: Sequence[tuple[Port, str]]) -> int:
    """Return how many addresses are not reached in time, each by a VM."""
    with ThreadPoolExecutor(len(ways)) as pool:
        seconds = pool.map(lambda way: reached_after(stage, *way), ways)
        return list(seconds).count(None)


def reached_after(stage: Stage, vm: Port, address: str) -> float | None:
    """Return after how long a VM reached an address; None: not in time."""
    return stage.answered_after(vm, address, within_s=REACHED_S)
