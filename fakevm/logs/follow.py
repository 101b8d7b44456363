"""Logs as they grow: a thread for each container hands on what it says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue

from fakevm.clients.engine import Engine
from fakevm.clients.parts import Parts
from fakevm.errors import ConflictError, NotFoundError
from fakevm.logs import lines
from fakevm.logs.lines import Line, Source, Wanted

# So long is waited for what others have said at the same time, for the order of the times.
_GATHER_S = 0.1


class Follower:
    """Reads several logs at once."""

    def __init__(self, sources: list[Source]) -> None:
        self._sources = sources
        # A source is what has ended.
        self._arrived: SimpleQueue[Line | Source | Exception] = SimpleQueue()
        self._closed = False
        # Nobody reads them.
        self.idle = list(sources)

    def start(self, source: Source) -> None:
        """Read a log on."""
        self.idle.remove(source)
        threading.Thread(target=self._pump, args=(source,), name="log", daemon=True).start()

    def take(self, timeout_s: float) -> list[Line]:
        """Return what has arrived, in the order of its times; nothing, if nothing does."""
        found: list[Line | Source | Exception] = []
        with suppress(Empty):
            found.append(self._arrived.get(timeout=timeout_s))
            end = time.monotonic() + _GATHER_S
            while (left := end - time.monotonic()) > 0:
                found.append(self._arrived.get(timeout=left))
        for one in found:
            if isinstance(one, Exception):
                raise one
        self.idle += [one for one in found if isinstance(one, Source)]
        return list(lines.merged([one] for one in found if isinstance(one, Line)))

    def close(self) -> None:
        """Read no more."""
        self._closed = True
        for source in self._sources:
            source.close()

    def _pump(self, source: Source) -> None:
        try:
            # A container that goes is waited for as one that has ended.
            with suppress(NotFoundError, ConflictError):
                for line in source.further():
                    self._arrived.put(line)
        except Exception as error:
            # What a stream says that was closed under its reader's hands is no matter.
            if not self._closed:
                self._arrived.put(error)
        else:
            self._arrived.put(source)


def follow(lab: Parts, wanted: Wanted, *, engine: Engine, look_s: float) -> Iterator[list[Line]]:
    """Yield what there is, then what comes, for ever; [] when `look_s` were quiet.

    A container that restarts, or is made anew, goes on where it ended: that is looked at as often.
    """
    sources = lines.sources(lab, wanted, engine=engine)
    yield from lines.kept(lab, sources, wanted, engine=engine)
    follower = Follower(sources)
    try:
        for source in sources:
            follower.start(source)
        looked = time.monotonic()
        while True:
            yield follower.take(look_s)
            if follower.idle and time.monotonic() >= looked + look_s:
                looked = time.monotonic()
                _start_again(follower, Parts(lab.name, engine=engine))
    finally:
        follower.close()


def _start_again(follower: Follower, lab: Parts) -> None:
    """Read the logs on of containers that had ended and run by now."""
    running = {container.service: container for container in lab.containers if container.running}
    for source in list(follower.idle):
        if source.container.service in running:
            source.container = running[source.container.service]
            follower.start(source)
