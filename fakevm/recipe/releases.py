"""Neutron's releases: which there are images for, and which a lab may have."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from fakevm.errors import ConfigError, ConflictError

DEFAULT = "28.0.2"

# Why a release can't run here, by its first number.
TOO_OLD = {
    number: f"the packages that {series} was tested with, greenlet 3.0.3 and netifaces among them,"
    " are not built for Python 3.13, which the images have"
    for number, series in ((24, "OpenStack 2024.1"), (25, "OpenStack 2024.2"))
}


def supported(root: Path) -> list[str]:
    """Return the releases of Neutron that the images can be built with, oldest first."""
    found = (root / "images" / "neutron" / "constraints").glob("*.txt")
    return sorted((path.stem for path in found), key=numbers)


def check(lab: str, *, wanted: str, existing: str, known: Collection[str]) -> None:
    """Refuse a release that can't be built, and the way back: a database can't be downgraded."""
    if wanted not in known and wanted != existing:
        reason = TOO_OLD.get(next(iter(numbers(wanted)), 0), "")
        raise ConfigError(
            f"Neutron {wanted} is not supported, but {', '.join(known)}"
            + (f": {reason}" if reason else ""),
            hint=f"fakevm up --neutron {DEFAULT}",
        )
    if numbers(wanted) < numbers(existing):
        raise ConflictError(
            f"the lab {lab!r} has Neutron {existing}; it can't go back to {wanted}",
            hint=f"fakevm --lab {lab} down, and then again",
        )


def numbers(version: str) -> tuple[int, ...]:
    """Return a release as what sorts by its age."""
    return tuple(int(part) for part in re.findall(r"\d+", version))
