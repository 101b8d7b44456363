"""Live migrations in a row, probed: what the VM lost, and whose part of it is ours."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.bench.figures import Figure, Report
from tests.integration.cloud import Cloud, Guest
from tests.integration.lab import COMPUTES, Lab

REPEAT = 50
RATE = 100

Json = Mapping[str, Any]


def migrations(report: Report, lab: Lab) -> None:
    """Measure with l2population and without it, on the same lab."""
    for suffix, option in (("", "--l2population"), ("_without_l2pop", "--no-l2population")):
        lab.fakevm.ok("up", "--name", lab.name, "--computes", str(len(COMPUTES)), option)
        with Cloud(lab, f"{lab.name}{suffix}") as cloud:
            network = cloud.network(cidr="10.98.0.0/24")
            hosts = {"moves": "compute-1", "probes": "compute-2"}
            moving, prober = cloud.guests(network, hosts)
            reports = back_and_forth(lab, moving, prober)
            moving.assert_wholly_on("compute-3" if REPEAT % 2 else "compute-1")
        add(report, reports, f"migrate{suffix}")


def back_and_forth(lab: Lab, moving: Guest, prober: Guest) -> Sequence[Json]:
    """Migrate a VM between two hosts; one that does not arrive ends the benchmark."""
    argv = ("migrate", "--repeat", str(REPEAT), "--rate", str(RATE), "--probe", prober.port_id)
    where = ("--timeout", "10", "-f", "json", "compute-3", moving.port_id)
    result = lab.fakevm.run(*argv, *where, timeout_s=REPEAT * 60)
    printed: Sequence[Json] = result.json()
    arrived = [one for one in printed if one["outcome"] in ("moved", "unsettled")]
    if len(arrived) != REPEAT:
        raise RuntimeError(f"{len(arrived)} of {REPEAT} migrations: {result}")
    return printed


def own_share(report: Json) -> float:
    """Return our own part of a migration's time: neither Neutron's answers nor waits for it."""
    whole = float(report["ended"] - report["started"])
    waits = ("wait", "wait for ACTIVE", "configure")
    spans = [(step["start"], step["end"]) for step in report["steps"] if step["name"] in waits]
    spans += [
        (request["start"], request["end"])
        for request in report["requests"]
        if request["start"] >= report["started"]
    ]
    return 1 - _covered(spans) / whole


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of what spans cover together."""
    total, until = 0.0, 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def add(report: Report, reports: Sequence[Json], key: str, *, gap_bar: float | None = None) -> None:
    """Add what the reports of migrations have in common, under keys that begin with `key`."""
    flows = [flow for one in reports for flow in one["flows"]]
    splits = [flow["split"] for flow in flows if flow["split"]]
    gaps = [max(flow["longest_gap_ms"] for flow in one["flows"]) for one in reports]
    ours = [split["own_ms"] + split["handling_ms"] for split in splits]
    rest = [split["own_ms"] for split in splits]
    seconds = [one["ended"] - one["started"] for one in reports]
    shares = [own_share(one) for one in reports]
    report.add(
        Figure(key=f"{key}_s", value=_median(seconds), what="s, a live migration"),
        Figure(
            key=f"{key}_own_share",
            value=_median(shares),
            what="our own part of it",
            bar=0.1,
        ),
        Figure(
            key=f"{key}_unsettled",
            value=sum(one["outcome"] == "unsettled" for one in reports),
            what=f"of {len(reports)} migrations left the port DOWN",
        ),
        Figure(
            key=f"{key}_gap_median_ms",
            bar=gap_bar,
            value=_median(gaps),
            what=f"ms, the longest gap, median of {len(gaps)}",
        ),
        Figure(key=f"{key}_gap_worst_ms", value=max(gaps), what="ms, the worst of them"),
        Figure(
            key=f"{key}_activate_ms",
            value=_median([split["activate_ms"] for split in splits]),
            what="ms, pause to the answer to activate",
        ),
        Figure(
            key=f"{key}_path_ms",
            value=_median([split["path_ms"] for split in splits]),
            what="ms, that answer to the first packet by the new path",
        ),
        Figure(
            key=f"{key}_rest_worst_ms",
            value=max(rest),
            what="ms, of a gap that nothing explains, worst",
            bar=20,
        ),
        Figure(
            key=f"{key}_ours_median_ms",
            value=_median(ours),
            what="ms, that and our own handling within the two, median",
            bar=20,
        ),
        Figure(key=f"{key}_ours_worst_ms", value=max(ours), what="ms, the same, worst"),
    )


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)
