"""Figures of checks, and how they are said."""

from __future__ import annotations

from fakevm.preflight.values import State


def enough(found: float, *, least: float, need: float) -> State:
    """Return how it is with what there is of something: enough, scarce, or too little."""
    return "ok" if found >= need else "warning" if found >= least else "failed"


def unless(well: bool, mend: str) -> str:
    """Return what mends what is not well."""
    return "" if well else mend


def rounded(need: int) -> int:
    """Return a power of two that is enough for twice as much."""
    return 1 << (2 * need - 1).bit_length()


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's first two numbers, of "20.10.24+dfsg1"."""
    parts = version.split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def dotted(version: tuple[int, ...]) -> str:
    """Return a version as it is written."""
    return ".".join(map(str, version))


def gb(mb: float) -> str:
    """Return a size."""
    return f"{mb / 1000:.1f} GB"


def count(number: int, what: str) -> str:
    """Return how many of something there are."""
    return f"{number} {what}{'' if number == 1 else 's'}"
