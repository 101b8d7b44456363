"""What is asked of a lab for evidence: each by itself, and each may fail."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fakevm import inventory, trace
from fakevm.clients.containers import Container
from fakevm.clients.events import cursor_at
from fakevm.clients.parts import TIMED_OUT
from fakevm.clients.process import ExitError, run
from fakevm.errors import NotFoundError, UnavailableError
from fakevm.evidence.values import Pair
from fakevm.logs import lines
from fakevm.logs.lines import Line, Source, Wanted

if TYPE_CHECKING:
    from fakevm.clients.engine import Engine
    from fakevm.inventory.lookup import Lookup
    from fakevm.model import Entry
    from fakevm.neutron.values import Port
    from fakevm.trace.values import Trace

# How long a command may take in a container; what hangs ends there, too.
COMMAND_S = 8

# So many lines of a container's log are kept.
_LINES = 50_000


def way(lab: Lookup, pair: Pair) -> Trace:
    """Return the way of a packet between two VMs, by those of their ports that are nearest."""
    ends = [_ports(lab, ref) for ref in (pair.source, pair.target)]
    refs = [pair.source, pair.target]
    if max(map(len, ends)) > 1 and (found := inventory.between.between(*ends)):
        refs = [port.id for port in found[:2]]
    return trace.way.of(lab, *refs, protocol=pair.protocol, port=pair.port, live=False)


def _ports(lab: Lookup, vm: str) -> list[Port]:
    try:
        return lab.find_all(vm)
    except NotFoundError as error:
        raise NotFoundError(f"VM {vm} is gone") from error


def events(
    lab: Lookup, since: float, until: float, *, beside: Lookup
) -> tuple[list[Entry], Mapping[str, str]]:
    """Return what came to nova-events in a time window, and the VMs' names by their ids.

    beside: the same lab, by whose connection its last steps may be under way.
    """
    beside.events.flush()
    entries = [one for one in lab.events.kept(cursor_at(since)) if one.time <= until]
    return entries, inventory.overview.names_of(lab, {one.instance_id for one in entries} - {""})


def objects(lab: Lookup, kind: str) -> str:
    """Return Neutron's objects of a kind as JSON; NotFoundError: it knows no such kind."""
    return as_json(lab.neutron.answer(f"/{kind}"))


def output(lab: Lookup, service: str, argv: Sequence[str]) -> str:
    """Return what a command says in a service."""
    return said_in(lab.service(service), argv)


def said_in(container: Container, argv: Sequence[str]) -> str:
    """Return what a command says in a container."""
    limited = ("docker", "exec", container.name, "timeout", f"{COMMAND_S}", *argv)
    try:
        return run(limited, timeout_s=COMMAND_S + 2)
    except ExitError as error:
        # The command itself may be a whole script.
        silent = f"no answer within {COMMAND_S} s"
        why = silent if error.status == TIMED_OUT else error.output
        raise UnavailableError(f"{container.service}: {argv[0]}: {why}") from error


def as_json(value: object) -> str:
    """Return a value as JSON that a person can read, too."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


class Log:
    """A container's log of a time window, as far as it is read."""

    def __init__(
        self, lab: Lookup, container: Container, since: float, until: float, *, engine: Engine
    ) -> None:
        self.container = container
        self.supervised = lines.is_supervised(lab, container)
        self._until = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%dT%H:%M:%S.%f}999Z"
        self._source = Source(
            container, Wanted(since=since), supervised=self.supervised, engine=engine
        )
        self._lines = deque[Line](maxlen=_LINES)

    def read(self) -> None:
        """Read it to the window's end."""
        for line in self._source.kept():
            if line.time > self._until:
                return
            self._lines.append(line)

    @property
    def lines(self) -> list[Line]:
        """The lines by now."""
        # Its reader may be at work, if it was cut off.
        return list(self._lines.copy())
