"""The logs of a lab's containers: lines, in the order of their times."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge
from itertools import islice

from fakevm import clients
from fakevm.clients.containers import Container
from fakevm.clients.engine import Engine
from fakevm.clients.log_stream import TIME, LogStream
from fakevm.clients.parts import Parts
from fakevm.errors import NotFoundError

# As many lines are handed on at once.
BATCH = 500

# A float can't tell nanoseconds: the engine is asked for a little more, and that is left out here.
_EARLIER_S = 2e-6

# What log-run puts before each line of a process.
_PROCESS = re.compile(r"([a-z][a-z0-9-]*): ")

# The length of a time up to its fraction.
_SECONDS_LEN = len("2026-01-31T10:30:15")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a container's log."""

    # RFC 3339 in UTC, with nanoseconds: as texts they are in order, too.
    time: str
    # A service of the lab's, or one of its hosts.
    container: str
    # A host's process; "" of a service that is one process, and of what the container itself says.
    process: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which lines are wanted."""

    # The services and hosts; empty: all.
    names: Sequence[str] = ()
    # This process's lines alone.
    process: str | None = None
    # So many last lines of each container.
    tail: int | None = None
    # Not what was said before, in seconds since the epoch.
    since: float | None = None


class Source:
    """One container's log, which is read on from where it was read to."""

    def __init__(
        self, container: Container, wanted: Wanted, *, supervised: bool, engine: Engine
    ) -> None:
        self.container = container
        self._wanted = wanted
        self._supervised = supervised
        self._engine = engine
        # The time of the last line that was read, wanted or not.
        self._seen = ""
        self._stream: LogStream | None = None
        self._closed = False

    def kept(self) -> Iterator[Line]:
        """Return what there is by now."""
        tail, process = self._wanted.tail, self._wanted.process
        # Of none at all the last one tells where to read on.
        asked = None if tail is None or process else max(tail, 1)
        lines = self._read(self._engine.log(self.container, since=self._wanted.since, tail=asked))
        return lines if tail is None else iter(deque(lines, maxlen=tail))

    def further(self) -> Iterator[Line]:
        """Yield what comes after that, until the container ends, or this is closed."""
        since = seconds(self._seen) - _EARLIER_S if self._seen else self._wanted.since
        self._stream = self._engine.log(self.container, since=since, follow=True)
        if self._closed:
            self._stream.close()
        yield from self._read(self._stream)

    def close(self) -> None:
        """Let `further` end, in whatever thread it is."""
        self._closed = True
        if self._stream is not None:
            self._stream.close()

    def _read(self, stream: LogStream) -> Iterator[Line]:
        before = self._seen
        for raw in stream:
            line = parse(raw, self.container.service, supervised=self._supervised)
            if before and line.time <= before:
                continue
            self._seen = max(self._seen, line.time)
            if self._wanted.process in (None, line.process):
                yield line


def parse(raw: bytes, container: str, *, supervised: bool) -> Line:
    """Return a line as the engine sends it; supervised: it begins with its process's name."""
    stamp = TIME.match(raw)
    text = raw[stamp.end() if stamp else 0 :].decode(errors="replace").removesuffix("\r")
    process = _PROCESS.match(text) if supervised else None
    return Line(
        time=utc(stamp[1].decode()) if stamp else "",
        container=container,
        process=process[1] if process else "",
        text=text[process.end() :] if process else text,
    )


def utc(time: str) -> str:
    """Return a time in UTC: with some of its log drivers the engine has its own zone's."""
    if time.endswith("Z"):
        return time
    whole, zone = time[:_SECONDS_LEN], time[-len("+02:00") :]
    then = datetime.fromisoformat(whole + zone).astimezone(UTC)
    return f"{then:%Y-%m-%dT%H:%M:%S}{time[_SECONDS_LEN : -len(zone)]}Z"


def seconds(time: str) -> float:
    """Return a line's time in seconds since the epoch."""
    fraction = time[_SECONDS_LEN:-1]
    return datetime.fromisoformat(time[:_SECONDS_LEN] + "+00:00").timestamp() + float(
        f"0{fraction}"
    )


def chosen(containers: Collection[Container], names: Collection[str]) -> list[Container]:
    """Return the containers that are named by their service or their own name, or all."""
    known = {name for one in containers for name in (one.service, one.name)}
    if missing := [name for name in names if name not in known]:
        there = ", ".join(one.service for one in containers)
        raise NotFoundError(f"there is no host or service {missing[0]!r}; there are {there}")
    return [one for one in containers if not names or {one.service, one.name} & set(names)]


def merged(logs: Iterable[Iterable[Line]]) -> Iterator[Line]:
    """Yield the lines of several logs, the earliest first."""
    return merge(*logs, key=lambda line: line.time)


def sources(lab: Parts, wanted: Wanted, *, engine: Engine) -> list[Source]:
    """Return the logs that have what is wanted."""
    return [
        Source(one, wanted, supervised=is_supervised(lab, one), engine=engine)
        for one in chosen(lab.containers, wanted.names)
    ]


def is_supervised(lab: Parts, container: Container) -> bool:
    """Tell whether a container consists of several processes, whose names its lines begin with."""
    return container.is_host or container.service in lab.backend.supervised


def kept(
    lab: Parts, found: Sequence[Source], wanted: Wanted, *, engine: Engine
) -> Iterator[list[Line]]:
    """Yield what these logs have by now, some lines at a time.

    NotFoundError, where no process of the name has ever said anything.
    """
    lines = merged(clients.at_once.each(Source.kept, found))
    some = False
    while batch := list(islice(lines, BATCH)):
        some = True
        yield batch
    if wanted.process and not some:
        _check_process(lab, found, wanted.process, engine=engine)


def _check_process(lab: Parts, found: Sequence[Source], process: str, *, engine: Engine) -> None:
    def processes(source: Source) -> set[str]:
        whole = Source(
            source.container,
            Wanted(),
            supervised=is_supervised(lab, source.container),
            engine=engine,
        )
        return {line.process for line in whole.kept()} - {""}

    known = sorted(set().union(*clients.at_once.each(processes, found)))
    if process not in known:
        where = ", ".join(source.container.service for source in found)
        raise NotFoundError(
            f"no process {process!r} in the logs of {where};"
            f" there {'are ' + ', '.join(known) if known else 'is none'}"
        )
