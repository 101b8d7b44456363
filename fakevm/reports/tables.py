"""A migration's report as rows for a terminal."""

from __future__ import annotations

from typing import Any

from fakevm.reports import words
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
