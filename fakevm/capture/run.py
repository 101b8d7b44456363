"""A capture as it goes: relays in the hosts, what they tell put in order and handed on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Self

from fakevm.capture import find, relay, tcpdump
from fakevm.capture.find import Wanted
from fakevm.capture.frames import Frame
from fakevm.capture.merge import Merge, Seen
from fakevm.capture.packets import LineReader, PcapReader
from fakevm.capture.points import Point
from fakevm.capture.sinks import Sink
from fakevm.capture.station import Feed, OpenRelay, Station, relayed
from fakevm.errors import FakevmError, NotFoundError, WaitTimeoutError
from fakevm.inventory.lookup import Lookup
from fakevm.protocol.interrupt import deferred

# How long all points may take to begin, and to end.
START_S = 30.0
END_S = 15.0

# How often is looked where VIFs are, and how long at most nothing is handed on that has come.
WATCH_S = 0.5
TICK_S = 0.05

# How often is looked which hosts there are, and which of them run.
HOSTS_S = 2.0

# Pieces of what relays tell that wait to be read; then their tcpdumps wait, and the kernel drops.
_BACKLOG = 64


@dataclass(frozen=True, kw_only=True)
class Total:
    """What came of a point."""

    point: str
    # As many as were handed on.
    packets: int
    # By the kernel, which had no more room; None: nobody could say.
    dropped: int | None


class Capture:
    """Packets from points in many hosts, into one sink. In the `with` block it is under way."""

    def __init__(
        self,
        lab: Lookup,
        wanted: Wanted,
        sink: Sink,
        *,
        bpf: str = "",
        count: int | None = None,
        open_relay: OpenRelay = relayed,
    ) -> None:
        self._lab = lab
        self._wanted = wanted
        self._sink = sink
        self._bpf = bpf
        self._left = count
        self._open_relay = open_relay
        # Of what stands in the next lines; notified when a point begins or ends.
        self._changed = threading.Condition()
        self._stations: list[Station] = []
        self._feeds: list[Feed] = []
        self._stopping = threading.Event()
        # The sink takes packets.
        self._begun = threading.Event()
        # All is handed on.
        self._over = threading.Event()
        self._arrived: queue.Queue[tuple[Station, bytes]] = queue.Queue(_BACKLOG)
        self._merge = Merge()
        self._told: set[str] = set()
        self._error: BaseException | None = None
        self._watcher = threading.Thread(target=self._watch, name="capture-watch", daemon=True)
        self._worker = threading.Thread(target=self._work, name="capture", daemon=True)

    def __enter__(self) -> Self:
        """Begin; all points are captured at when it returns."""
        try:
            self._worker.start()
            self._start(self._wanted.points)
            self._wait_until_listening()
            self._sink.begin(self._bpf)
            self._begun.set()
            for feed in self._feeds:
                if feed.listening and feed.ended:
                    # Before there was a capture to tell it of.
                    self._tell_end(feed)
            self._watcher.start()
        except BaseException:
            self._finish()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._finish()
        if self._error is not None and (kind is None or issubclass(kind, KeyboardInterrupt)):
            raise self._error

    @property
    def names(self) -> list[str]:
        """The points that are captured at."""
        return [feed.point.name for feed in self._feeds if feed.listening and not feed.ended]

    @property
    def totals(self) -> list[Total]:
        """What came of each point, at the end."""
        return [
            Total(
                point=feed.point.name,
                packets=feed.packets,
                dropped=tcpdump.counted(feed.said).dropped,
            )
            for feed in self._feeds
            if feed.listening
        ]

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended by itself; tell whether it has.

        It has when so many packets were captured, nobody reads them, or no point is left but
        those of VMs, which may come back.
        """
        # Not Thread.join, after whose interruption Python takes the thread for ended.
        return self._over.wait(timeout_s)

    def _start(self, points: Collection[Point]) -> None:
        """Start the tcpdumps of more points, in one relay a host."""
        with self._changed:
            if self._stopping.is_set() or self._is_over():
                return
            new = [
                Feed(
                    number=number,
                    point=point,
                    reader=LineReader() if self._sink.words else PcapReader(),
                )
                for number, point in enumerate(points, len(self._feeds))
            ]
            by_host: dict[str, list[Feed]] = {}
            for feed in new:
                by_host.setdefault(feed.point.host, []).append(feed)
            count = len(self._feeds) + len(new)
            begun: list[Station] = []
            # All of them or none: a host may stop just now.
            with ExitStack() as undo:
                for host, feeds in by_host.items():
                    begun.append(self._station(host, feeds, count))
                    undo.callback(begun[-1].stream.close)
                undo.pop_all()
            self._feeds += new
            self._stations += begun
        for station in begun:
            threading.Thread(
                target=self._read, args=(station,), name="capture-read", daemon=True
            ).start()

    def _station(self, host: str, feeds: list[Feed], count: int) -> Station:
        words = self._sink.words
        commands = [
            tcpdump.command(feed.point, bpf=self._bpf, words=words, points=count) for feed in feeds
        ]
        return Station(stream=self._open_relay(self._lab.service(host).name, commands), feeds=feeds)

    def _wait_until_listening(self) -> None:
        """Wait until every point is captured at; raise why a named one is not."""
        with self._changed:
            begun = self._changed.wait_for(
                lambda: all(feed.listening or feed.ended for feed in self._feeds) or self._error,
                START_S,
            )
        if self._error is not None:
            raise self._error
        late = [feed.point.name for feed in self._feeds if not (feed.listening or feed.ended)]
        if not begun:
            raise WaitTimeoutError(f"{', '.join(late)}: no tcpdump within {START_S:g} s")
        failures = [
            tcpdump.failure(feed.point, feed.said, bpf=self._bpf)
            for feed in self._feeds
            if not feed.listening
        ]
        if failures and (self._wanted.named or len(failures) == len(self._feeds)):
            raise failures[0]
        for failure in failures:
            self._lab.say(f"it is left out: {failure}")
        if not self._feeds:
            raise NotFoundError("there is nothing to capture at", hint="fakevm status")

    def _read(self, station: Station) -> None:
        """Hand on what a relay tells, from a thread of its own; b"" at the end."""
        # What a stream says that was closed under its reader's hands is no matter.
        with suppress(OSError, ValueError):
            while data := station.stream.read():
                self._arrived.put((station, data))
        self._arrived.put((station, b""))

    def _watch(self) -> None:
        """Begin at VIFs that are plugged later, and at hosts that start (again)."""
        looked = time.monotonic()
        while not self._stopping.wait(WATCH_S):
            with self._changed:
                vifs = {(f.point.host, f.point.port_id) for f in self._feeds if not f.ended}
                # The latest of each.
                latest = {f.point: f for f in self._feeds}
            # What can't be had now is tried again.
            with suppress(FakevmError):
                if time.monotonic() - looked >= HOSTS_S:
                    looked = time.monotonic()
                    # What was found before still says that a host is stopped.
                    self._lab.look_again()
                    links = [point for point, feed in latest.items() if not feed.cut_off]
                    self._start(find.new_links(self._lab, self._wanted, links))
                self._start(find.newcomers(self._lab, self._wanted.port_ids, vifs))

    def _work(self) -> None:
        """Take what comes until all relays have ended: the only thread that uses the sink."""
        try:
            while not self._is_over():
                self._take()
                self._settle()
                if self._begun.is_set() and self._error is None:
                    self._hand_on(self._merge.due(time.monotonic()))
            # Twice: nothing comes between.
            self._settle()
            self._settle()
            if self._begun.is_set() and self._error is None:
                self._hand_on(self._merge.rest())
                self._sink.end({feed.number: tcpdump.counted(feed.said) for feed in self._feeds})
        except BaseException as error:
            self._fail(error)
        finally:
            self._sink.close()
            for station in self._stations:
                station.stream.close()
            self._over.set()

    def _is_over(self) -> bool:
        """Tell whether nothing more can come."""
        with self._changed:
            if not all(station.ended for station in self._stations):
                return False
            # VMs may come back, but for them.
            return self._stopping.is_set() or (
                self._begun.is_set() and self._wanted.port_ids == frozenset()
            )

    def _take(self) -> None:
        """Take what has come, after a short wait for the first of it."""
        until = time.monotonic() + TICK_S
        with suppress(queue.Empty):
            while (left := until - time.monotonic()) > 0:
                station, data = self._arrived.get(timeout=left)
                if data:
                    for frame in station.frames.feed(data):
                        self._take_frame(station.feeds[frame.number], frame)
                else:
                    self._take_end(station)

    def _settle(self) -> None:
        now = time.monotonic()
        for feed in self._feeds:
            self._merge.add(feed.number, feed.reader.settle(), now)

    def _take_frame(self, feed: Feed, frame: Frame) -> None:
        if frame.kind == relay.STDOUT:
            if self._error is not None:
                return
            self._merge.add(feed.number, feed.reader.feed(frame.data), time.monotonic())
            return
        if frame.kind == relay.STDERR:
            feed.said += frame.data.decode(errors="replace")
            if not feed.listening and tcpdump.is_listening(feed.said):
                self._note(feed, listening=True)
        else:
            self._note(feed, ended=True)

    def _take_end(self, station: Station) -> None:
        """A relay has ended, and so its points, if it was itself ended."""
        for feed in station.feeds:
            if not feed.ended:
                feed.said += f"\n{station.stream.complaint or 'its host ended it'}"
                self._note(feed, ended=True)
                feed.cut_off = True
        station.stream.close()
        with self._changed:
            station.ended = True

    def _note(self, feed: Feed, *, listening: bool = False, ended: bool = False) -> None:
        """Note that a point begins or ends; tell it, where that is not what was asked for."""
        if self._begun.is_set() and not self._stopping.is_set():
            if listening:
                self._tell(f"capturing at {feed.point.name}, too")
            else:
                self._tell_end(feed)
        with self._changed:
            feed.listening |= listening
            feed.ended |= ended
            self._changed.notify_all()

    def _hand_on(self, batch: Sequence[Seen]) -> None:
        """Give packets to the sink."""
        try:
            for feed in self._feeds:
                if not feed.added and feed.reader.link_type is not None:
                    self._sink.add(feed.number, feed.point, feed.reader.link_type)
                    feed.added = True
            if self._left is not None:
                batch = batch[: self._left]
                self._left -= len(batch)
            if batch:
                self._sink.write(batch)
        except BaseException as error:
            self._fail(error)
            return
        for seen in batch:
            self._feeds[seen.point].packets += 1
        if self._left == 0:
            self._stop()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()
        self._stop()

    def _tell_end(self, feed: Feed) -> None:
        self._tell(f"{feed.point.name}: {tcpdump.complaint(feed.said) or 'it ended'}")

    def _tell(self, text: str) -> None:
        """Say something once; what is tried again fails again."""
        if text not in self._told:
            self._told.add(text)
            self._lab.say(text)

    def _stop(self) -> None:
        """Have all tcpdumps end; what they still tell is taken."""
        with self._changed:
            if self._stopping.is_set():
                return
            self._stopping.set()
            stations = list(self._stations)
        for station in stations:
            with suppress(OSError):
                station.stream.write(b"\n")

    def _finish(self) -> None:
        """End it, in order if the sink takes what is left in time."""
        with deferred(forget=True):
            self._stop()
            if self._watcher.is_alive():
                # Who asks a host that does not answer waits longer.
                self._watcher.join(WATCH_S)
            if not self.wait(END_S):
                for station in self._stations:
                    station.stream.close()
                # Who reads has stopped doing so.
                self._over.wait(1.0)
