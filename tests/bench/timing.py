"""Clocks: a thing and the raw thing beside it, in turns, so that both meet the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

# Runs its act once and returns the seconds that count, so that undoing is not measured.
Act = Callable[[], float]

# What an act leaves to others, as the engine tidies up after an exec, is not the next act's.
SETTLE_S = 0.1


def timed(act: Callable[[], object]) -> float:
    """Return how many seconds an act takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def medians(acts: Mapping[str, Act], *, repeats: int, warm_up: int = 1) -> dict[str, float]:
    """Run the acts in turns; return the median seconds of each."""
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for turn in range(warm_up + repeats):
        for name, act in acts.items():
            time.sleep(SETTLE_S)
            seconds = act()
            if turn >= warm_up:
                taken[name].append(seconds)
    return {name: statistics.median(values) for name, values in taken.items()}
