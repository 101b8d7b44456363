"""A migration's report as a page that needs nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from fakevm.reports import tables, words
from fakevm.reports.words import Json

TEMPLATE = Path(__file__).with_suffix(".html")


def html(report: Json) -> str:
    """Return the report as one page, with its style, its script and its data inside."""
    parts = {
        "title": escape(f"{report['vm']}: {report['source']} → {report['destination']}"),
        "kind": escape(f"{report['kind'].capitalize()} migration"),
        "lab": escape(report["lab"]),
        "verdict": escape(words.verdict(report)),
        "tone": _tone(report),
        "facts": _facts(report),
        "tables": "".join(filter(None, _tables(report))),
        "data": _embedded(_page_data(report)),
    }
    return filled(TEMPLATE, parts)


def filled(template: Path, parts: Mapping[str, str]) -> str:
    """Return a page with HTML in the place of each {{name}}.

    In one pass: what a name brings in is not looked at again.
    """
    text = template.read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], text)


def _tone(report: Json) -> str:
    flows = report["flows"]
    if report["outcome"] == "failed" or any(flow["gap_open"] for flow in flows):
        return "bad"
    if report["outcome"] in ("rolled back", "unsettled"):
        return "warn"
    if not flows:
        return "plain"
    limit = words.JITTER * 1000 / report["rate"]
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
        "The wait ended": words.wait_ended(report),
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
        own, handling = words.part(flow, "own_ms"), words.part(flow, "handling_ms")
        ours = None if own is None or handling is None else own + handling
        cells = [
            _cell(words.flow_name(report, flow)),
            *(_cell(end, "mono") for end in ends),
            _cell(flow["sent"], "n"),
            _cell(flow["lost"], "n bad" if flow["lost"] else "n"),
            _cell(flow["duplicated"], "n"),
            _cell(flow["reordered"], "n"),
            _cell(words.gap(flow), "n strong"),
            _cell(flow["gap_step"]),
            *(
                _cell(words.number(value), "n")
                for value in (
                    words.part(flow, "activate_ms"),
                    words.part(flow, "path_ms"),
                    words.part(flow, "unsent_ms"),
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
    for row in tables.step_rows(report):
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
    found += [
        (one["time"], one["name"], one["value"] or "—", one["port_id"], "southbound", "")
        for one in report["facts"]
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
    return _table("Neutron’s events, and what becomes of the port", dict.fromkeys(heads, ""), rows)


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
            _cell(words.number((request["end"] - request["start"]) * 1000), "n"),
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
            "name": words.flow_name(report, flow),
            "gap_text": words.gap(flow),
            "samples": {key: packed(flow["samples"][key]) for key in ("received", "lost")},
        }
        for flow in report["flows"]
    ]
    steps = [{**step, "label": words.label(step)} for step in report["steps"]]
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


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _utc(t: float) -> str:
    return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
