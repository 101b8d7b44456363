"""A scenario as a value, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fakevm.reports.migration import MigrationReport
from fakevm.scenarios.stage import Stage

# Exit codes of `fakevm scenario run`; 1: it could not be run.
SOUND = 0
FAULT = 10


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a scenario found: whether the fault is there, in words, and what was measured."""

    fault: bool
    words: str
    measured: Mapping[str, Any] = field(default_factory=dict)
    # Of the migration that it is about, if there is one.
    report: MigrationReport | None = None


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A fault of Neutron and how it is looked for."""

    name: str
    letter: str
    title: str
    # What happens, to whom.
    shows: str
    # The bug or review that it belongs to.
    reference: str
    # What a sound Neutron does.
    expects: str
    run: Callable[[Stage], Finding]
    # The backends that cannot have the fault, by name, and why.
    not_on: Mapping[str, str] = field(default_factory=dict)
    # Whether there is a migration of which a page can be made.
    migrates: bool = False
    # How often it is tried before Neutron is called sound: several times, where it is a race.
    tries: int = 1
