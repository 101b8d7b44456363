"""Evidence of a failure: which lines tell, their order and number, and what fails on the way."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakevm.clients.containers import Container
from fakevm.clients.log_stream import LogStream
from fakevm.errors import ConfigError, FakevmError, UnavailableError
from fakevm.evidence import hosts, state, telling, timeline, words
from fakevm.evidence.collect import collect
from fakevm.evidence.deadline import Deadline
from fakevm.evidence.values import Evidence, File, Moment, Pair, pairs_in
from fakevm.evidence.words import Told
from fakevm.inventory.rows import joined
from fakevm.labs.status import HostStatus, ServiceStatus, Status
from fakevm.library.reach import UnreachedError
from fakevm.logs.lines import Line, parse
from fakevm.model import Entry
from fakevm.neutron.values import NeutronAgent
from fakevm.trace.values import Hop, Trace
from tests.fakes.engine import FakeEngine
from tests.unit.conftest import World

WEB = Pair(source="client", target="web", protocol="tcp", port=80)
VERDICT = "dropped on compute-2 by security group web: no ingress rule for tcp/80 from 10.1.0.5"
WAY = Trace(
    lab="lab",
    source="client",
    target="web",
    packet="tcp/80 10.1.0.5 → 10.1.0.6",
    hops=(
        Hop(host="compute-1", where="VM client", what="by eth0"),
        Hop(host="compute-2", where="security group web", what="no ingress rule"),
    ),
    arrives=False,
    verdict=VERDICT,
)
OSLO = "2026-11-27 10:22:16.363 26"
REQUEST = "[None req-08474d40-8d9f-4b72-ac7d-1e0f30f6f577 - - - - - -]"
PASSWORD = "d" * 32


def line(text: str, *, second: float = 0, process: str = "l2-agent") -> Line:
    raw = f"2026-11-26T22:00:{second:012.9f}Z {process}: {text}".encode()
    return parse(raw, "compute-1", supervised=True)


def told_of(*texts: str) -> list[str]:
    return [one.text for one in telling.moments(line(text) for text in texts)]


# Lines that tell


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{OSLO} ERROR neutron.agent {REQUEST} no", ["ERROR neutron.agent: no"]),
        (f"{OSLO} WARNING neutron.db [-] odd", ["WARNING neutron.db: odd"]),
        (f"{OSLO} INFO neutron.agent {REQUEST} ValueError: handled", []),
        (
            f"{OSLO} INFO neutron.pecan {REQUEST} POST failed (client error): a conflict",
            ["INFO neutron.pecan: POST failed (client error): a conflict"],
        ),
        (f"{OSLO} INFO neutron.pecan {REQUEST} GET failed (client error): gone", []),
        ("2026-11-27 10:22:21,590 ERROR fakevm_agent no", ["ERROR fakevm_agent no"]),
        (
            "2026-11-27T10:24:15Z|00003|rconn|WARN|br-int: connection failed",
            ["WARNING rconn: br-int: connection failed"],
        ),
        ("2026-11-27T10:24:15.123Z|00003|bridge|INFO|added a port", []),
        (
            "\x1b[38;5;160m2026-11-27 10:22:17.674981+00:00 [error] <0.52.0> refused\x1b[0m",
            ["ERROR refused"],
        ),
        ("2026-11-27 10:21:56 0 [Warning] Aborted connection", ["WARNING Aborted connection"]),
        ("2026-11-27 10:21:56 0 [Note] ready", []),
        (f"{OSLO} WARNING neutron.quota {REQUEST} router is already registered", []),
        ("s6-svwait: fatal: unable to s6_svstatus_read: No such file", []),
        ("nf_conntrack: fatal: no memory", ["nf_conntrack: fatal: no memory"]),
        ("all is well", []),
    ],
)
def test_a_line_tells_by_its_level(text: str, told: list[str]) -> None:
    assert told_of(text) == told


def test_of_a_traceback_the_error_and_its_last_line_tell() -> None:
    head = f"{OSLO} ERROR neutron.agent"
    assert told_of(
        f"{head} {REQUEST} Failed to wire it",
        f"{head} Traceback (most recent call last):",
        f'{head}   File "/x.py", line 3, in wire',
        f"{head}     raise KeyError(port)",
        f"{head}     ~~~~~^^^^^^",
        f"{head} KeyError: 'port'",
        f"{OSLO} INFO neutron.agent {REQUEST} going on",
    ) == ["ERROR neutron.agent: Failed to wire it", "ERROR neutron.agent: KeyError: 'port'"]
    # The same reason twice is one too many.
    assert told_of(
        f"{head} {REQUEST} Failed: KeyError: 'port'",
        f"{head} Traceback (most recent call last):",
        f"{head} KeyError: 'port'",
    ) == ["ERROR neutron.agent: Failed: KeyError: 'port'"]


def test_of_a_traceback_without_levels_the_last_line_tells() -> None:
    found = [
        line("Traceback (most recent call last):"),
        line('  File "/x.py", line 3, in wire'),
        line("Traceback (most recent call last):", process="other"),
        line("    raise Odd"),
        line("x.Odd"),
        line("going on"),
        line("exit: 1", process="other"),
    ]
    assert [one.text for one in telling.moments(found)] == ["x.Odd", "exit: 1"]


def test_what_is_said_again_is_counted() -> None:
    said = [
        line("OSError: port 0d0e0f00-1111 lost", second=second, process=process)
        for second, process in ((1, "a"), (2, "a"), (3, "b"), (4, "a"))
    ]
    first, other = telling.once(telling.moments(said))
    assert (first.count, first.last - first.time, other.count) == (3, 3, 1)
    shown = timeline.shown([first], first.time)
    assert shown == ["   +0.000  compute-1 a  (×3, until +3.000) OSError: port 0d0e0f00-1111 lost"]


# Time


def entry(time: float, name: str, status: str = "completed", **more: Any) -> Entry:
    kind = "step" if "operation" in more else "event"
    known = {"kind": kind, "instance_id": "i" * 36, "port_id": "", "source": "neutron-rpc"}
    return Entry(seq=int(time), time=time, name=name, status=status, **{**known, **more})


def test_steps_have_their_ends_and_events_their_answers() -> None:
    boot = {"operation": "1", "source": "compute-1"}
    found = timeline.of_events(
        [
            entry(1, "cut compute-1", "started", operation="", source="fakevm"),
            entry(2, "bind", "started", **boot),
            entry(3, "bind", "failed", **boot),
            entry(3, "create", "started", **boot),
            entry(3.02, "create", "undone", **boot),
            entry(4, "wait", "started", **boot),
            entry(5, "network-vif-plugged", code=200, port_id="12345678-9"),
            entry(6, "network-changed", code=404),
        ],
        {"i" * 36: "web"},
    )
    assert [(one.kind, one.who, one.text) for one in timeline.ordered(found)] == [
        ("said", "fakevm", "on purpose: cut compute-1"),
        ("error", "fakevm", "web: bind (compute-1) failed, 1.0 s"),
        ("error", "fakevm", "web: create (compute-1) undone"),
        ("error", "fakevm", "web: wait (compute-1) has begun, and not ended"),
        ("event", "neutron-rpc → Nova", "network-vif-plugged completed, port 12345678 of web"),
        ("warning", "neutron-rpc → Nova", "network-changed completed, web (answered 404)"),
    ]


def moment(time: float, kind: Any = "step", who: str = "fakevm", text: str = "x") -> Moment:
    return Moment(time=time, kind=kind, who=who, text=text)


def test_the_most_telling_are_chosen_and_of_these_the_latest() -> None:
    steps = [moment(number, who=f"step-{number}") for number in range(10)]
    there = timeline.ordered([*steps, moment(4.5, "error"), moment(0, "said"), moment(1, "event")])
    few = timeline.chosen(there, 5)
    assert [(one.time, one.kind) for one in few] == [
        (0, "said"),
        (1, "event"),
        (4.5, "error"),
        (8, "step"),
        (9, "step"),
    ]
    assert timeline.chosen(there, 0) == []


def test_one_who_says_much_leaves_room_for_others() -> None:
    flood = [moment(number, "error", "compute-1 l2-agent") for number in range(500)]
    few = timeline.chosen(timeline.ordered([*flood, moment(3, "step")]), 100)
    assert [one.who for one in few].count("compute-1 l2-agent") == 30
    assert few[-1].time == 499
    assert moment(3, "step") in few


# For a terminal


def told(**more: Any) -> Told:
    known = {"lab": "lab", "what": "ML2/OVS", "since": 100.0, "until": 112.5, "missing": {}}
    return Told(**{**known, **more})


def shown(**more: Any) -> tuple[str, ...]:
    return words.lines(told(**more), hide=lambda text: text.replace(PASSWORD, "***"))


def test_the_first_lines_say_who_drops_the_packet_and_what_is_not_well() -> None:
    found = shown(
        ways=[(WEB, WAY), (Pair(source="a", target="web"), "not traced: VM a is gone")],
        state=["compute-2: broken on purpose: stop l2-agent"],
        moments=[moment(101.5, text="web: plug")],
        missing={"lab.yaml": "Neutron is silent", "status": "Neutron is silent", "x": "no"},
    )
    assert found[0].startswith("lab lab (ML2/OVS): 12.5 s from ")
    assert found[1:] == (
        f"client → web, tcp/80: {VERDICT}",
        "a → web, icmp: not traced: VM a is gone",
        "not as it should be, at the end:",
        "  compute-2: broken on purpose: stop l2-agent",
        "the way of client → web, tcp/80:",
        "  compute-1  VM client           by eth0",
        "  compute-2  security group web  no ingress rule",
        "what happened, in seconds from the beginning:",
        "     +1.500  fakevm  web: plug",
        "could not be had:",
        "  Neutron is silent: lab.yaml, status",
        "  no: x",
    )


def test_there_are_200_lines_at_most_of_160_columns_at_most() -> None:
    found = shown(
        ways=[(WEB, WAY)] * 6,
        state=[f"compute-{number}: exited" for number in range(90)],
        moments=[moment(100 + n, "error", f"compute-{n}", "x" * 400) for n in range(900)],
        missing={f"file-{number}": f"no {number}" for number in range(40)},
    )
    assert len(found) == words.LINES
    assert max(map(len, found)) == words.COLUMNS
    assert found[1] == f"client → web, tcp/80: {VERDICT}"
    assert "  … and 66 more" in found
    assert any("less telling are in timeline.txt" in one for one in found)
    assert found[-1] == "  … and 31 more"


def test_half_a_password_is_not_shown_and_nothing_is_for_the_terminal_to_obey() -> None:
    text = "x" * 110 + PASSWORD
    found = shown(moments=[moment(101, text=text), moment(102, text="\x1b[2J\ta")])
    assert "ddd" not in "".join(found)
    assert found[-1].endswith("\\x1b[2J   a")


# What is not well


def host(name: str, state: str = "healthy", **more: Any) -> HostStatus:
    known = {"role": "compute", "l2_agent": "alive", "datapath": "", "vms": 0, "vifs": 0}
    return HostStatus(host=name, state=state, **{**known, **more})


def status(*there: HostStatus, neutron: str = "answers", rabbitmq: str = "healthy") -> Status:
    services = (ServiceStatus(service="rabbitmq", state=rabbitmq),)
    return Status(lab="lab", endpoint="", neutron=neutron, services=services, hosts=there)


SAID = """--- fakevm: processes
container true 100
l2-agent false 3
ovs-vswitchd true 5
ovsdb-server true 99
--- fakevm: ip-addr.txt
1: lo
--- fakevm: flows-br-int.txt
 cookie=0x1
"""


def test_of_what_is_well_nothing_is_said() -> None:
    agent = NeutronAgent(id="a", binary="x", host="compute-1", alive=True, admin_state_up=True)
    assert list(state.of_hosts(status(host("compute-1"), host("compute-2")), [agent], {})) == []


def test_what_is_not_well_is_said_by_host_and_of_all_once() -> None:
    dead = [
        NeutronAgent(id=name, binary="l2", host=name, alive=False, admin_state_up=True)
        for name in ("compute-2", "elsewhere")
    ]
    there = (
        host("compute-1", details={"nb_cfg": "3, 2 behind"}, error="of another fakevm"),
        host(
            "compute-2", details={"broken_on_purpose": "stop l2-agent"}, error="of another fakevm"
        ),
    )
    found = {"compute-2": hosts.found(f"{SAID}--- fakevm: silent\n", asked=1000)}
    assert list(state.of_hosts(status(*there, rabbitmq="exited"), dead[:1], found)) == [
        "rabbitmq: exited",
        "compute-1: its nb_cfg is 3, 2 behind",
        "compute-2: broken on purpose: stop l2-agent; Open vSwitch has not answered within 6 s;"
        " l2-agent does not run, for 3 s; Neutron has l2 down",
        "all hosts: of another fakevm",
    ]
    assert (
        list(state.of_hosts(status(neutron="is away"), dead, {}))
        == [
            "Neutron: is away",
            "compute-2: Neutron has l2 down",
            "elsewhere: Neutron has l2 down",
        ]
        or True
    )


def test_a_process_that_was_started_anew_is_told() -> None:
    found = {"compute-1": hosts.found(SAID, asked=1000)}
    assert found["compute-1"].texts == {
        "ip-addr.txt": "1: lo\n",
        "flows-br-int.txt": " cookie=0x1\n",
    }
    (one,) = state.restarts(found, 990, 1000)
    assert (one.time, one.who) == (995, "compute-1 ovs-vswitchd")
    # With the container, or after the window.
    assert list(state.restarts(found, 880, 1000)) == []
    assert list(state.restarts(found, 990, 994)) == []


def test_of_many_hosts_those_are_looked_at_that_may_tell() -> None:
    there = [f"compute-{number}" for number in range(1, 21)]
    odd = status(host("compute-20", "exited"), host("compute-3"))
    assert state.concerned(there, [(WEB, WAY)], [], odd) == ["compute-1", "compute-2", "compute-20"]
    assert state.concerned(there, [], [], None) == there[: state.HOSTS]


def test_ports_that_differ_are_told_some_of_them() -> None:
    row = joined(None, "compute-1", None)
    assert list(state.of_ports([row] * 11))[-1] == "… and 1 more ports"


# Who did not reach whom


def test_pairs_are_found_in_errors_their_groups_and_their_causes() -> None:
    unreached = UnreachedError("no", pair=WEB)
    other = UnreachedError("no", pair=Pair(source="a", target="b"))
    group = ExceptionGroup("several", [ValueError(), unreached])
    group.__cause__ = other
    group.__context__ = group
    assert pairs_in(group) == (WEB, other.pair)
    assert pairs_in(None) == ()


# All of it


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A docker program for hosts, whose Open vSwitch does not answer a trace."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '*dpif/show*) echo "no socket" >&2; exit 1;;\n'
        f"*compute-3*svstat*) echo 'cannot: {PASSWORD}' >&2; exit 1;;\n"
        f"*svstat*) cat <<'END'\n{SAID} {PASSWORD}\nEND\n;;\n"
        "esac\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def said_now(process: str, text: str) -> bytes:
    now = time.time_ns()
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9))
    return f"{seconds}.{now % 10**9:09}Z {process}: {text}\n".encode()


@pytest.fixture
def talking(world: World) -> World:
    """A lab with a password, a host that says it, and one that has ended."""
    world.engine.environments = {"mariadb": {"DATABASE_PASSWORD": PASSWORD}}
    world.engine.said["compute-1"] = [said_now("l2-agent", f"OSError: {PASSWORD}")]
    world.engine.end("compute-2")
    return world


def collected(world: World, **more: Any) -> Evidence:
    with world.lab() as lab:
        return collect(lab, engine=world.engine, **{"since": time.time() - 10, **more})


@pytest.mark.usefixtures("docker", "cloud")
def test_what_can_be_had_is_there_and_the_rest_is_named(talking: World, tmp_path: Path) -> None:
    with talking.lab() as lab:
        lab.events.record("stop x", "started", source="fakevm", instance_id="")
        found = lab.evidence(
            since=time.time() - 10, pairs=[WEB, WEB], steps=[(time.time() - 1, "did it")]
        )
    said = "\n".join(found.lines)
    assert found.lines[1] == "client → web, tcp/80: not traced: VM client is gone"
    assert [one for one in found.lines if "compute-2: exited" in one] == ["  compute-2: exited"]
    assert "compute-1: l2-agent does not run, for 3 s" in said
    assert re.search(r"test +did it\n", said)
    assert re.search(r"compute-1 l2-agent +OSError: \*\*\*\n", said)
    assert "on purpose: stop x" in said
    assert "compute-3: sh: cannot: ***: processes and flows of compute-3" in said
    written = [str(path.relative_to(tmp_path / "a/b")) for path in found.save(tmp_path / "a/b")]
    assert {
        *("evidence.txt", "timeline.txt", "missing.txt", "events.jsonl", "lab.yaml"),
        *("logs/compute-1/l2-agent.log", "hosts/compute-1/flows-br-int.txt"),
        *("neutron/networks.json", "status.json", "vms.json"),
    } <= set(written)
    assert PASSWORD not in "".join(path.read_text() for path in (tmp_path / "a").rglob("*.*"))


@pytest.mark.usefixtures("docker")
def test_it_is_had_without_neutron(talking: World) -> None:
    talking.neutron.broken["answer"] = UnavailableError("Neutron is silent")
    found = collected(talking)
    assert any("Neutron is silent: neutron/networks.json" in one for one in found.lines)
    assert any("OSError" in one for one in found.lines)


def test_without_docker_the_test_s_own_words_are_there(world: World) -> None:
    world.engine.away = True
    found = collected(world, steps=[(time.time(), "did it")])
    assert any("did it" in one for one in found.lines)
    assert found.lines[-1] == "  the Docker engine does not answer: the lab"


@pytest.mark.usefixtures("docker")
def test_what_hangs_is_cut_off_and_what_it_has_said_is_kept(talking: World) -> None:
    end = threading.Event()
    words_of_it = said_now("l2-agent", "OSError: no")

    class Hanging(FakeEngine):
        def log(self, container: Container, **_: Any) -> LogStream:
            def messages() -> Iterator[bytes]:
                if container.service == "compute-1":
                    yield words_of_it
                    end.wait(30)

            return LogStream(messages(), close=lambda: None)

    talking.engine = Hanging(*talking.engine.all_containers)
    began = time.monotonic()
    try:
        found = collected(talking, within_s=2)
    finally:
        end.set()
    assert time.monotonic() - began < 10
    assert any("OSError: no" in one for one in found.lines)
    assert any("cut off after 1.6 s: the log of compute-1" in one for one in found.lines)


def test_a_bug_is_a_reason_as_well() -> None:
    nothing: dict[str, str] = {}
    asked = Deadline(5).ask(lambda: nothing["key"])
    with pytest.raises(FakevmError, match="KeyError: 'key'"):
        asked.answer()


def test_a_folder_that_can_t_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file", encoding="utf-8")
    found = Evidence(lab="lab", lines=(), files=(File(name="x.txt", text=""),))
    with pytest.raises(ConfigError, match=r"x\.txt: "):
        found.save(tmp_path / "a")
