"""A migration's report as a page that needs nothing else, and as rows for a terminal.

What it takes is `MigrationReport` as JSON has it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

Json = Mapping[str, Any]

TEMPLATE = Path(__file__).with_suffix(".html")

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

# An interval's jitter, on a busy machine: a gap shorter than that many intervals is none.
_JITTER = 2


def flow_rows(report: Json) -> list[dict[str, Any]]:
    """Return a row for each flow, with FLOW_COLUMNS."""
    return [
        {
            "flow": flow_name(report, flow),
            "sent": flow["sent"],
            "lost": flow["lost"],
            "duplicated": flow["duplicated"],
            "reordered": flow["reordered"],
            "gap_ms": _gap(flow),
            "gap_step": flow["gap_step"] or None,
            **{key: _number(_part(flow, key)) for key in FLOW_COLUMNS[7:12]},
            "new_path_ms": _number(flow["new_path_ms"]),
        }
        for flow in report["flows"]
    ]


def step_rows(report: Json) -> list[dict[str, Any]]:
    """Return a row for each step in the order of time, with STEP_COLUMNS."""
    return [
        {
            "step": _label(step),
            "actor": step["actor"],
            "at_s": f"{step['start'] - report['started']:.3f}",
            "took_ms": _number((step["end"] - step["start"]) * 1000),
            "outcome": ": ".join(filter(None, (step["outcome"], step["error"]))),
            "nova": step["source"] or None,
        }
        for step in sorted(report["steps"], key=lambda step: float(step["start"]))
    ]


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
    if gap < _JITTER * 1000 / report["rate"]:
        packets = f"{lost} packet{'' if lost == 1 else 's'}" if lost else "nothing"
        return f"The VM lost {packets}: its longest gap was {_number(gap)} ms."
    told = f"The VM lost its network for {_number(gap)} ms"
    if split := worst["split"]:
        ours = split["own_ms"] + split["handling_ms"]
        return f"{told}; {_number(gap - ours - split['unsent_ms'])} of them Neutron’s."
    began = f", beginning in step “{worst['gap_step']}”" if worst["gap_step"] else ""
    return f"{told}{began}."


def html(report: Json) -> str:
    """Return the report as one page, with its style, its script and its data inside."""
    parts = {
        "title": escape(f"{report['vm']}: {report['source']} → {report['destination']}"),
        "kind": escape(f"{report['kind'].capitalize()} migration"),
        "lab": escape(report["lab"]),
        "verdict": escape(verdict(report)),
        "tone": _tone(report),
        "facts": _facts(report),
        "tables": "".join(filter(None, _tables(report))),
        "data": _embedded(_page_data(report)),
    }
    # In one pass: what a name brings in is not looked at again.
    text = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], text)


def _tone(report: Json) -> str:
    flows = report["flows"]
    if report["outcome"] == "failed" or any(flow["gap_open"] for flow in flows):
        return "bad"
    if report["outcome"] == "rolled back":
        return "warn"
    if not flows:
        return "plain"
    limit = _JITTER * 1000 / report["rate"]
    return "warn" if any(flow["longest_gap_ms"] >= limit for flow in flows) else "good"


def _facts(report: Json) -> str:
    probed = f"{report['rate']:g} packets/s in each of {len(report['flows'])} flows"
    facts = {
        "VM": f"{report['vm']} ({report['instance_id']})",
        "Neutron": ", ".join(filter(None, (report["neutron_version"], report["backend"]))),
        "Started": _utc(report["started"]),
        "Took": f"{report['ended'] - report['started']:.3f} s",
        "Ports": ", ".join(report["port_ids"]),
        "Probed with": probed if report["flows"] else "",
        "Did not move": ", ".join(f"{pid} {name}" for pid, name in report["processes"].items()),
    }
    return "".join(
        f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>"
        for key, value in facts.items()
        if value
    )


def _tables(report: Json) -> Iterable[str]:
    yield _flows_table(report)
    yield _steps_table(report)
    yield _events_table(report)
    yield _requests_table(report)


def _flows_table(report: Json) -> str:
    heads = {
        "Flow": "",
        "From": "",
        "To": "",
        "#Sent": "",
        "#Lost": "",
        "#Dup.": "received more than once",
        "#Reord.": "received after one that was sent later (RFC 4737)",
        "#Longest gap, ms": "between two receptions, less one interval",
        "Began in": "the step under way when the gap began",
        "#Pause → answer": "of the gap: from the guest’s pause to Neutron’s answer to activate, ms",
        "#Answer → packet": "of the gap: from there to the first packet by the new path, ms",
        "#Unsent": "of the gap: before the pause, while nobody sent, ms",
        "#Rest": "of the gap: what none of these explains, ms",
        "#Ours": "of the gap: the rest, and what fakevm itself took of the first two, ms",
        "#New path, ms": "from the guest’s resume at the destination to its first packet",
    }
    rows = []
    for number, flow in enumerate(report["flows"]):
        ends = [flow["address"], flow["peer_address"]]
        if flow["direction"] == "to-vm":
            ends.reverse()
        own, handling = _part(flow, "own_ms"), _part(flow, "handling_ms")
        ours = None if own is None or handling is None else own + handling
        cells = [
            _cell(flow_name(report, flow)),
            *(_cell(end, "mono") for end in ends),
            _cell(flow["sent"], "n"),
            _cell(flow["lost"], "n bad" if flow["lost"] else "n"),
            _cell(flow["duplicated"], "n"),
            _cell(flow["reordered"], "n"),
            _cell(_gap(flow), "n strong"),
            _cell(flow["gap_step"]),
            *(
                _cell(_number(value), "n")
                for value in (
                    _part(flow, "activate_ms"),
                    _part(flow, "path_ms"),
                    _part(flow, "unsent_ms"),
                    own,
                    ours,
                    flow["new_path_ms"],
                )
            ),
        ]
        rows.append(f'<tr data-flow="{number}" tabindex="0">{"".join(cells)}</tr>')
    return _table("Flows", heads, rows, note="Choose a row to see its gap in the picture.")


def _steps_table(report: Json) -> str:
    heads = ["#At, s", "Step", "By", "#Took, ms", "Outcome", "In Nova"]
    rows = []
    for row in step_rows(report):
        tone = {"failed": "bad", "undone": "warn"}.get(row["outcome"].partition(":")[0], "")
        cells = [
            _cell(row["at_s"], "n"),
            _cell(row["step"], "strong"),
            _cell(row["actor"]),
            _cell(row["took_ms"], "n"),
            _cell(row["outcome"], f"{tone} {'wrap' if len(row['outcome']) > 40 else ''}"),
            _cell(row["nova"] or "", "mono"),
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return _table("Steps", dict.fromkeys(heads, ""), rows)


def _events_table(report: Json) -> str:
    heads = ["#At, s", "What", "Status", "Port", "From", "#Answered"]
    events = [event for event in report["events"] if event["kind"] == "event"]
    found = [
        (event["time"], event["name"], event["status"], event["port_id"], event["source"], code)
        for event in events
        for code in [str(event["code"] or "")]
    ]
    found += [
        (one["time"], "the port’s status", one["status"], one["port_id"], "", "")
        for one in report["statuses"]
    ]
    rows = []
    for t, name, status, port_id, source, code in sorted(found):
        tone = "bad" if status == "failed" or code not in ("", "200") else ""
        cells = [
            _cell(f"{t - report['started']:.3f}", "n"),
            _cell(name, "strong"),
            _cell(status, "bad" if status == "failed" else ""),
            _cell(port_id, "mono"),
            _cell(source),
            _cell(code, f"n {tone}"),
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return _table("Neutron’s events, and the port’s status", dict.fromkeys(heads, ""), rows)


def _requests_table(report: Json) -> str:
    heads = ["#At, s", "Request", "#Answer", "#Took, ms"]
    rows = []
    for request in report["requests"]:
        name = f"{request['method']} {request['path']}"
        bodies = "".join(
            f"<p>{word}</p><pre>{escape(_pretty(request[key]))}</pre>"
            for word, key in (("sent", "body"), ("answered", "answer"))
            if request[key]
        )
        shown = f"<details><summary>{escape(name)}</summary>{bodies}</details>"
        cells = [
            _cell(f"{request['start'] - report['started']:.3f}", "n"),
            f'<td class="mono wrap">{shown if bodies else escape(name)}</td>',
            _cell(request["status"], "n" if request["status"] < 400 else "n bad"),
            _cell(_number((request["end"] - request["start"]) * 1000), "n"),
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return _table("Requests to Neutron", dict.fromkeys(heads, ""), rows)


def _table(title: str, heads: Mapping[str, str], rows: Sequence[str], *, note: str = "") -> str:
    """Return a section with a table, "" if it has no rows.

    Heads come with an explanation each, or ""; those of numbers begin with #.
    """
    if not rows:
        return ""
    columns = "".join(_head(head, words) for head, words in heads.items())
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    return (
        f"<section><h2>{escape(title)} <small>{len(rows)}</small></h2>{below}"
        f'<div class="scroll" tabindex="0"><table><thead><tr>{columns}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>\n"
    )


def _head(head: str, words: str) -> str:
    style = ' class="n"' if head.startswith("#") else ""
    title = f' title="{escape(words)}"' if words else ""
    return f'<th scope="col"{style}{title}>{escape(head.lstrip("#"))}</th>'


def _cell(value: object, style: str = "") -> str:
    attribute = f' class="{style.strip()}"' if style.strip() else ""
    return f"<td{attribute}>{escape(str(value))}</td>"


def _page_data(report: Json) -> dict[str, Any]:
    """Return what the picture is drawn from: the report, its samples packed."""
    started = report["started"]

    def packed(times: Sequence[float]) -> list[int]:
        # In tenths of a millisecond, each from the one before: a quarter of the page's size.
        ticks = [round((t - started) * 10_000) for t in times]
        return [b - a for a, b in zip([0, *ticks], ticks, strict=False)]

    flows = [
        {
            **flow,
            "name": flow_name(report, flow),
            "gap_text": _gap(flow),
            "samples": {key: packed(flow["samples"][key]) for key in ("received", "lost")},
        }
        for flow in report["flows"]
    ]
    steps = [{**step, "label": _label(step)} for step in report["steps"]]
    # The table has the bodies.
    requests = [
        {key: value for key, value in request.items() if key not in ("body", "answer")}
        for request in report["requests"]
    ]
    return {**report, "flows": flows, "steps": steps, "requests": requests}


def _embedded(data: object) -> str:
    """Return JSON that cannot end the script element that it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _label(step: Json) -> str:
    return f"undo {step['name']}" if step["outcome"] == "undone" else str(step["name"])


def _part(flow: Json, key: str) -> float | None:
    return flow["split"][key] if flow["split"] else None


def _gap(flow: Json) -> str:
    return f"{'> ' if flow['gap_open'] else ''}{_number(flow['longest_gap_ms'])}"


def _number(value: float | None) -> str:
    """Return milliseconds as one reads them: tenths only where they matter."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _utc(t: float) -> str:
    return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
