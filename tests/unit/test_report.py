"""A report says what happened, in a page that needs nothing else and in tables."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from typing import Any

import pytest

from fakevm.backends.backend import PortFact
from fakevm.reports.migration import MigrationReport
from fakevm.reports.page import html
from fakevm.reports.tables import FLOW_COLUMNS, STEP_COLUMNS, flow_rows, step_rows
from fakevm.reports.words import verdict, wait_ended, worst_flow
from tests.fakes.migration import PORTS, make_report, make_rollback

# What would be markup, a script's end, a placeholder of ours, or another way to break out.
NASTY = "<b>\"x\"&'y'</script><!--{{data}}\\u003c${z}`"


def plain(value: MigrationReport) -> dict[str, Any]:
    """As it is read from a file."""
    made: dict[str, Any] = json.loads(json.dumps(asdict(value)))
    return made


class Page(HTMLParser):
    """A page's elements, its text, and the data in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._in = ""
        self.feed(text)
        self.close()

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in != "style":
            self.text += data


def page(value: MigrationReport) -> Page:
    return Page(html(plain(value)))


def test_the_verdict_tells_neutrons_part_from_ours() -> None:
    made = plain(make_report())
    worst = worst_flow(made)
    assert worst is not None
    split = worst["split"]
    total = split["activate_ms"] + split["path_ms"] + split["own_ms"]
    ours = split["own_ms"] + split["handling_ms"]
    assert split["unsent_ms"] == 0
    assert verdict(made) == (
        f"The VM lost its network for {total:.0f} ms; {total - ours:.0f} of them Neutron’s."
    )


def test_what_a_prober_did_not_send_is_nobodys_part_of_the_verdict() -> None:
    made = plain(make_report())
    before = verdict(made)
    for flow in made["flows"]:
        flow["longest_gap_ms"] += 100
        flow["split"]["unsent_ms"] += 100
    assert verdict(made).partition(";")[2] == before.partition(";")[2]


def quiet(*, gap: float, lost: int) -> MigrationReport:
    made = make_report()
    flow = replace(made.flows[0], longest_gap_ms=gap, lost=lost, split=None, gap_step="bind")
    return replace(made, flows=(flow,))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (quiet(gap=3.21, lost=0), "The VM lost nothing: its longest gap was 3.2 ms."),
        (quiet(gap=10.4, lost=1), "The VM lost 1 packet: its longest gap was 10 ms."),
        (quiet(gap=2100, lost=9), "The VM lost its network for 2100 ms, beginning in step “bind”."),
        (
            make_report(lasts=True),
            "The VM lost its network, and it did not come back within 2.3 s.",
        ),
        (
            make_report(flows=(), rate=0.0),
            "The VM moved within 3.5 s. Nobody probed, so what it lost is not known.",
        ),
        (
            make_rollback(),
            "The migration failed at “wait”: network-vif-plugged did not"
            " come for port d1c0ffee within 3 s. The VM stayed on compute-1. The VM lost its"
            " network for 140 ms, beginning in step “undo announce”.",
        ),
    ],
)
def test_the_verdict_is_one_that_a_person_would_give(made: MigrationReport, words: str) -> None:
    assert verdict(plain(made)) == words


def test_of_some_flows_that_died_their_number_is_told() -> None:
    alive, dead = make_report(), make_report(lasts=True)
    made = replace(alive, flows=(*alive.flows[:3], dead.flows[3]))
    assert "1 of 4 flows did not come back" in verdict(plain(made))


def test_each_flow_is_a_row() -> None:
    rows = flow_rows(plain(make_report(ipv6=True)))
    assert [row["flow"] for row in rows] == [
        "UDP vm2 → vm1",
        "UDP vm1 → vm2",
        "ping vm2 → vm1",
        "ping vm1 → vm2",
        "UDP6 vm2 → vm1",
        "UDP6 vm1 → vm2",
        "ping6 vm2 → vm1",
        "ping6 vm1 → vm2",
    ]
    assert {tuple(row) for row in rows} == {FLOW_COLUMNS}
    assert rows[0] == {
        "flow": "UDP vm2 → vm1",
        "sent": 576,
        "lost": 103,
        "duplicated": 1,
        "reordered": 1,
        "gap_ms": "1020",
        "gap_step": "pause",
        "activate_ms": "488",
        "path_ms": "532",
        "unsent_ms": "0.0",
        "own_ms": "0.0",
        "handling_ms": "9.0",
        "new_path_ms": "523",
    }
    (lasting, *_) = flow_rows(plain(make_report(lasts=True)))
    assert lasting["gap_ms"].startswith("> ")
    assert lasting["new_path_ms"] == "-"


def test_each_step_is_a_row_and_so_is_its_undo() -> None:
    rows = step_rows(plain(make_rollback()))
    assert {tuple(row) for row in rows} == {STEP_COLUMNS}
    assert [row["step"] for row in rows] == [
        "bind",
        "plug",
        "announce",
        "wait",
        "undo announce",
        "undo plug",
        "undo bind",
    ]
    assert rows[0]["at_s"] == "0.020"
    assert rows[0]["took_ms"] == "305"
    assert rows[3]["outcome"].startswith("failed: WaitTimeoutError: network-vif-plugged")
    assert [row["outcome"] for row in rows[4:]] == ["undone"] * 3


@pytest.mark.parametrize(
    "made",
    [
        make_report(),
        make_report(probers=2, ipv6=True, ports=2),
        make_report(flows=(), rate=0.0, requests=(), statuses=(), events=()),
        make_report(steps=(), requests=()),
        make_report(lasts=True),
        make_rollback(),
    ],
    ids=["one", "sixteen flows", "none", "no steps", "lasts", "rollback"],
)
def test_a_page_is_whole_and_fetches_nothing(made: MigrationReport) -> None:
    text = html(plain(made))
    assert not re.search(r"\{\{\w+\}\}", text)
    assert "NaN" not in re.sub(r"<script>.*", "", text, flags=re.DOTALL)
    found = Page(text)
    outside = {"src", "href", "srcset", "action", "poster", "background", "data"}
    assert [attrs for _, attrs in found.tags if outside & attrs.keys()] == []
    assert {tag for tag, _ in found.tags} & {"link", "img", "iframe", "object", "base"} == set()
    # But for the name of SVG's own elements there is no address.
    assert set(re.findall(r"\w+://[\w./]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert "default-src 'none'" in text
    titles = re.findall(r"<h2>([^<]+) <small>", text)
    assert ("Flows" in titles) == bool(made.flows)
    assert ("Requests to Neutron" in titles) == bool(made.requests)
    assert len(found.data["flows"]) == len(made.flows)


def test_names_are_text_wherever_they_stand() -> None:
    made = make_report()
    flow = replace(made.flows[0], peer=NASTY, address=NASTY, gap_step=NASTY)
    request = replace(made.requests[0], path=NASTY, body=json.dumps(NASTY), answer=NASTY)
    event = replace(made.events[0], name=NASTY, source=NASTY, port_id=NASTY, status=NASTY)
    found = page(
        replace(
            made,
            vm=NASTY,
            lab=NASTY,
            source=NASTY,
            error=NASTY,
            outcome="failed",
            backend=NASTY,
            steps=(replace(made.steps[0], name=NASTY, error=NASTY, source=NASTY),),
            statuses=(replace(made.statuses[0], status=NASTY, port_id=NASTY),),
            events=(event,),
            flows=(flow,),
            requests=(request,),
            processes={"1": NASTY},
        )
    )
    clean = page(make_report())
    # No element that the same report without them has not.
    assert {tag for tag, _ in found.tags} == {tag for tag, _ in clean.tags}
    assert len(found.scripts) == len(clean.scripts) == 2
    assert found.scripts[1] == clean.scripts[1]
    assert found.data["vm"] == found.data["flows"][0]["peer"] == NASTY
    assert found.data["steps"][0]["label"] == NASTY
    # Title, heading and lab; VM, backend and process; and in each of the tables.
    assert found.text.count(NASTY) > 15


def test_the_pages_packets_are_those_of_the_report() -> None:
    made = make_report()
    for told, flow in zip(page(made).data["flows"], made.flows, strict=True):
        for key in ("received", "lost"):
            at, times = 0, []
            for step in told["samples"][key]:
                at += step
                times.append(made.started + at / 10_000)
            assert times == pytest.approx(getattr(flow.samples, key), abs=0.0001)


def test_a_page_of_a_minute_and_eight_flows_is_small() -> None:
    made = make_report(probers=2)
    times = tuple(made.started + n / 100 for n in range(6000))
    flows = tuple(
        replace(flow, samples=replace(flow.samples, received=times)) for flow in made.flows
    )
    assert len(html(plain(replace(made, flows=flows)))) < 300_000


def test_the_event_that_ended_the_wait_and_its_sender_are_named() -> None:
    made = plain(make_report())
    told = wait_ended(made)
    (wait,) = (step for step in made["steps"] if step["name"] == "wait")
    assert told.startswith(f"by network-vif-plugged of port {PORTS[0]}, sent by ")
    assert float(told.split()[-2]) <= wait["end"] - made["started"]
    assert wait_ended(plain(make_report(events=()))) == ""
    assert wait_ended(plain(make_rollback())) == ""


@pytest.mark.parametrize(
    ("waited", "words"),
    [("nobody", "at once: nobody waited"), ("timeout", "by the timeout, without the event")],
)
def test_an_event_that_did_not_end_the_wait_is_not_named(waited: str, words: str) -> None:
    made = make_report(waited=waited)
    assert wait_ended(plain(made)) == words
    assert words in page(made).text


def test_a_backend_s_facts_are_in_the_table_and_in_the_picture() -> None:
    made = make_report()
    fact = PortFact(
        time=made.started + 0.5, port_id=PORTS[0], name="activation-strategy", value="rarp"
    )
    gone = replace(fact, time=made.started + 0.6, value="")
    text = html(plain(replace(made, facts=(fact, gone))))
    assert "<td>rarp</td>" in text
    assert '"name":"activation-strategy","value":"rarp"' in text
    assert text.count("southbound") == 2
