"""Which lines of logs tell of a failure: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fakevm.evidence.values import Kind, Moment
from fakevm.logs.lines import Line, seconds

_DAY = r"\d{4}-\d\d-\d\d"
_CLOCK = r"\d\d:\d\d:\d\d"

# The heads of lines: oslo.log's and Python's, Open vSwitch's and OVN's, RabbitMQ's, MariaDB's.
_OSLO = re.compile(rf"{_DAY} {_CLOCK}[.,]\d+ (?:\d+ )?(?P<level>[A-Z]+) (?P<rest>.*)")
_HEADS = (
    _OSLO,
    *map(
        re.compile,
        (
            rf"{_DAY}T{_CLOCK}(?:\.\d+)?Z\|\d+\|(?P<module>[^|]+)\|(?P<level>[A-Z]+)\|(?P<rest>.*)",
            rf"{_DAY} {_CLOCK}\.\d+\S* \[(?P<level>\w+)\] <[\d.]+> (?P<rest>.*)",
            rf"{_DAY} +{_CLOCK} \d+ \[(?P<level>\w+)\] (?P<rest>.*)",
        ),
    ),
)
_ERRORS = {"ERROR", "CRITICAL", "EMER", "ERR", "FATAL"}
_WARNINGS = {"WARNING", "WARN"}

# oslo.log's request, between the module and the message.
_REQUEST = re.compile(r"^(\S+) \[(?:-|(?:None )?req-[^\]]*)\] ?")

# What is said without a head, and ends a program or an act.
_BARE = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception)(?::|$)|\b(?:panic|fatal)\b|^Killed$")

# A traceback, but for its last line; SQLAlchemy's reference to its manual.
_INSIDE = re.compile(
    r"^(?:\s|$|Traceback \(most|During handling of|The above exception|\(Background on)"
)

# What is no warning to Neutron, and explains an answer that a user got.
_REFUSED = re.compile(r"\b(?:POST|PUT) failed \(client error\)")

_COLOUR = re.compile(r"\x1b\[[\d;]*m")

# What a lab that is well says all the time, as it starts, and as somebody hangs up.
_NOISE = re.compile(
    r"already registered|memcache|Deprecated: |not picklable|Did not find expected name"
    r"|running uWSGI as root|s6_svstatus_read|rpc_loop|Possible hang: wait"
    r"|ETHTOOL|dropping VLAN 0 packet|\|timeval(?:\(\w+\))?\||closing AMQP|closed TCP"
    r"|receive error: Connection reset|connection dropped \(Connection reset"
    r"|deprecated_features|innodb-file-per-table|max_open_files|skip-name-resolve"
)

# What differs where the same is said again.
_VARIES = re.compile(r"[0-9a-f]{8}[0-9a-f-]{4,}|0x[0-9a-f]+|\d+")


def moments(lines: Iterable[Line]) -> Iterator[Moment]:
    """Yield the errors, the last lines of tracebacks and the warnings of one container's lines."""
    # By process: in a traceback that has no heads.
    inside: dict[str, bool] = {}
    before: dict[str, str] = {}
    for line in lines:
        text = _COLOUR.sub("", line.text).rstrip()
        found = _told(text, inside, line.process)
        if found is None or _NOISE.search(text):
            continue
        kind, said = found
        # The error's own line may end with what a traceback's last line says.
        message = said.partition(": ")[2] or said
        earlier = before.get(line.process, "")
        if kind == "error" and said != earlier and message in earlier:
            continue
        before[line.process] = said
        who = " ".join(filter(None, (line.container, line.process)))
        yield Moment(time=seconds(line.time), kind=kind, who=who, text=said)


def _told(text: str, inside: dict[str, bool], process: str) -> tuple[Kind, str] | None:
    """Return what a line tells, if anything; remember whether it is in a bare traceback."""
    head = next(filter(None, (pattern.match(text) for pattern in _HEADS)), None)
    if head is None:
        was_inside = inside.get(process, False)
        inside[process] = text.startswith("Traceback (most") or (
            was_inside and bool(_INSIDE.match(text))
        )
        if inside[process] or _INSIDE.match(text):
            return None
        if was_inside or _BARE.search(text) or _REFUSED.search(text):
            return "error", text
        return None
    inside[process] = False
    level, rest = head["level"].upper(), head["rest"]
    request = _REQUEST.match(rest)
    module = request[1] if request else head.groupdict().get("module") or ""
    message = rest[request.end() :] if request else rest
    first, _, others = rest.partition(" ")
    if not request and head.re is _OSLO and "." in first:
        # A traceback's lines may have no request.
        module, message = first, others
    if level in _ERRORS:
        if _INSIDE.match(message):
            return None
        return "error", _joined("ERROR", module, message)
    if level in _WARNINGS:
        return "warning", _joined("WARNING", module, message)
    if _REFUSED.search(message):
        return "warning", _joined(level, module, message)
    return None


def _joined(level: str, module: str, message: str) -> str:
    return f"{level} {module}: {message}" if module else f"{level} {message}"


def once(found: Iterable[Moment]) -> list[Moment]:
    """Return moments in which the same, said again by the same, is one that is counted."""
    made: dict[tuple[str, str], Moment] = {}
    for one in found:
        key = (one.who, _VARIES.sub("#", one.text))
        if first := made.get(key):
            made[key] = replace(first, count=first.count + 1, last=one.time)
        else:
            made[key] = one
    return list(made.values())
