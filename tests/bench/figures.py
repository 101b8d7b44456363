"""What was measured: as a table with its bars, and as bench.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A measured value; `bar` is what the project asks of it."""

    key: str
    value: float
    what: str
    bar: float | None = None
    better: Literal["lower", "higher"] = "lower"

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return ""
        holds = self.value <= self.bar if self.better == "lower" else self.value >= self.bar
        return "pass" if holds else "FAIL"


@dataclass
class Report:
    """All figures of a run, in the order in which they were measured."""

    figures: list[Figure] = field(default_factory=list)
    breakdowns: dict[str, Mapping[str, float]] = field(default_factory=dict)
    machine: Mapping[str, object] = field(default_factory=dict)

    def __getitem__(self, key: str) -> float:
        """Return what was measured under a key."""
        return next(figure.value for figure in self.figures if figure.key == key)

    def add(self, *figures: Figure) -> None:
        for figure in figures:
            self.figures.append(figure)
            print(_line(figure), flush=True)

    def add_breakdown(self, key: str, parts: Mapping[str, float]) -> None:
        self.breakdowns[key] = parts
        for name, value in parts.items():
            print(f"  {key:<38} {value:>10.2f}  {name}", flush=True)

    def write(self, path: Path) -> None:
        """Write each figure under its key, then the parts, the bars and the machine."""
        document: dict[str, object] = {f.key: round(f.value, 4) for f in self.figures}
        document |= self.breakdowns
        document["bars"] = {f.key: {"bar": f.bar, "verdict": f.verdict} for f in self.barred()}
        document["machine"] = self.machine
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    def barred(self) -> Iterator[Figure]:
        return (figure for figure in self.figures if figure.bar is not None)

    def summary(self) -> str:
        return "\n".join(_line(figure) for figure in self.barred())


def _line(figure: Figure) -> str:
    sign = {"lower": "at most", "higher": "at least"}[figure.better]
    bar = "" if figure.bar is None else f"  [{sign} {figure.bar:g}: {figure.verdict}]"
    return f"  {figure.key:<38} {figure.value:>10.2f}  {figure.what}{bar}"
