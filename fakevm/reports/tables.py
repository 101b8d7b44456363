"""A migration's report as rows for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fakevm.reports import words
from fakevm.reports.migration import MigrationReport
from fakevm.reports.words import Json

FLOW_COLUMNS = (
    "flow",
    "sent",
    "lost",
    "duplicated",
    "reordered",
    "gap_ms",
    "gap_step",
    "activate_ms",
    "path_ms",
    "unsent_ms",
    "own_ms",
    "handling_ms",
    "new_path_ms",
)

PERCENTILE_COLUMNS = ("what", "count", "min", "median", "p95", "max")
STEP_COLUMNS = ("step", "actor", "at_s", "took_ms", "outcome", "nova")


def flow_rows(report: Json) -> list[dict[str, Any]]:
    """Return a row for each flow, with FLOW_COLUMNS."""
    return [
        {
            "flow": words.flow_name(report, flow),
            "sent": flow["sent"],
            "lost": flow["lost"],
            "duplicated": flow["duplicated"],
            "reordered": flow["reordered"],
            "gap_ms": words.gap(flow),
            "gap_step": flow["gap_step"] or None,
            **{key: words.number(words.part(flow, key)) for key in FLOW_COLUMNS[7:12]},
            "new_path_ms": words.number(flow["new_path_ms"]),
        }
        for flow in report["flows"]
    ]


def step_rows(report: Json) -> list[dict[str, Any]]:
    """Return a row for each step in the order of time, with STEP_COLUMNS."""
    return [
        {
            "step": words.label(step),
            "actor": step["actor"],
            "at_s": f"{step['start'] - report['started']:.3f}",
            "took_ms": words.number((step["end"] - step["start"]) * 1000),
            "outcome": ": ".join(filter(None, (step["outcome"], step["error"]))),
            "nova": step["source"] or None,
        }
        for step in sorted(report["steps"], key=lambda step: float(step["start"]))
    ]


def percentiles(reports: Sequence[MigrationReport]) -> list[dict[str, object]]:
    """Return how figures spread over several migrations, a row each."""
    splits = [flow.split for report in reports for flow in report.flows if flow.split]
    figures = {
        "whole, s": [report.ended - report.started for report in reports],
        "longest gap, ms": [
            max((flow.longest_gap_ms for flow in report.flows), default=0.0)
            for report in reports
            if report.flows
        ],
        "pause to activate's answer, ms": [split.activate_ms for split in splits],
        "answer to the new path, ms": [split.path_ms for split in splits],
        "ours, ms": [split.own_ms + split.handling_ms for split in splits],
    }
    return [{"what": what, **spread(sorted(values))} for what, values in figures.items() if values]


def spread(values: Sequence[float]) -> dict[str, object]:
    """Return the percentiles of ordered values, each one of them (nearest rank)."""

    def rank(share: float) -> float:
        return round(values[max(0, math.ceil(share * len(values)) - 1)], 3)

    return {
        "count": len(values),
        "min": rank(0),
        "median": rank(0.5),
        "p95": rank(0.95),
        "max": rank(1),
    }
