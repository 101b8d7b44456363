"""A migration's report in words: what became of the VM, and its figures as one reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# `MigrationReport` as JSON has it.
Json = Mapping[str, Any]

# An interval's jitter, on a busy machine: a gap shorter than that many intervals is none.
JITTER = 2


def flow_name(report: Json, flow: Json) -> str:
    """Return a flow's name: what is sent, from whom to whom."""
    vm, peer = report["vm"], flow["peer"]
    here, there = (peer, vm) if flow["direction"] == "to-vm" else (vm, peer)
    what = "UDP" if flow["kind"] == "udp" else "ping"
    version = "6" if ":" in flow["address"] else ""
    return f"{what}{version} {here} → {there}"


def worst_flow(report: Json) -> Json | None:
    """Return the flow with the longest gap, if there are flows."""
    flows: Sequence[Json] = report["flows"]
    return max(flows, key=lambda flow: float(flow["longest_gap_ms"]), default=None)


def verdict(report: Json) -> str:
    """Return in a sentence or two what became of the VM and of its network."""
    return " ".join(filter(None, (_fate(report), _loss(report))))


def _fate(report: Json) -> str:
    if report["outcome"] == "moved":
        return ""
    failed = [step["name"] for step in report["steps"] if step["outcome"] == "failed"]
    where = f" at “{failed[0]}”" if failed else ""
    why = f": {report['error']}" if report["error"] else ""
    if report["outcome"] == "unsettled":
        return f"The VM is on {report['destination']}, but the migration failed{where}{why}."
    if report["outcome"] == "rolled back":
        back = f"The VM stayed on {report['source']}"
    else:
        back = "It was neither completed nor undone"
    return f"The migration failed{where}{why}. {back}."


def _loss(report: Json) -> str:
    worst = worst_flow(report)
    if worst is None:
        took = report["ended"] - report["started"]
        moved = f"The VM moved within {took:.1f} s." if report["outcome"] == "moved" else ""
        return f"{moved} Nobody probed, so what it lost is not known.".strip()
    dead = [flow for flow in report["flows"] if flow["gap_open"]]
    if dead:
        most = max(dead, key=lambda flow: float(flow["longest_gap_ms"]))
        some = f"{len(dead)} of {len(report['flows'])} flows"
        who = "it" if len(dead) == len(report["flows"]) else some
        waited = float(most["longest_gap_ms"]) / 1000
        return f"The VM lost its network, and {who} did not come back within {waited:.1f} s."
    lost = sum(flow["lost"] for flow in report["flows"])
    gap = float(worst["longest_gap_ms"])
    if gap < JITTER * 1000 / report["rate"]:
        packets = f"{lost} packet{'' if lost == 1 else 's'}" if lost else "nothing"
        return f"The VM lost {packets}: its longest gap was {number(gap)} ms."
    told = f"The VM lost its network for {number(gap)} ms"
    if split := worst["split"]:
        ours = split["own_ms"] + split["handling_ms"]
        return f"{told}; {number(gap - ours - split['unsent_ms'])} of them Neutron’s."
    began = f", beginning in step “{worst['gap_step']}”" if worst["gap_step"] else ""
    return f"{told}{began}."


def wait_ended(report: Json) -> str:
    """Return how the step “wait” ended: by the last event and who sent it, or otherwise.

    "" if there was none, or it failed.
    """
    waits = [step for step in report["steps"] if step["name"] == "wait"]
    match report["waited"]:
        case "nobody":
            return "at once: nobody waited"
        case "timeout":
            return "by the timeout, without the event"
        case "failed":
            return "by an event that says failed"
    if not waits or waits[0]["outcome"] != "done":
        return ""
    heard = [
        event
        for event in report["events"]
        if (event["kind"], event["name"]) == ("event", "network-vif-plugged")
        and report["started"] <= event["time"] <= waits[0]["end"]
    ]
    if not heard:
        return ""
    last = max(heard, key=lambda event: float(event["time"]))
    at = last["time"] - report["started"]
    return f"by {last['name']} of port {last['port_id']}, sent by {last['source']}, at {at:.3f} s"


def label(step: Json) -> str:
    """Return a step's name, that of an undo told apart."""
    return f"undo {step['name']}" if step["outcome"] == "undone" else str(step["name"])


def part(flow: Json, key: str) -> float | None:
    """Return a part of a flow's gap in ms, None where it has none."""
    return flow["split"][key] if flow["split"] else None


def gap(flow: Json) -> str:
    """Return a flow's longest gap in ms, as one reads it."""
    return f"{'> ' if flow['gap_open'] else ''}{number(flow['longest_gap_ms'])}"


def number(value: float | None) -> str:
    """Return milliseconds as one reads them: tenths only where they matter."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"
