"""Packets out of what a tcpdump says, in pcap or in words, as it comes in pieces: pure."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from fakevm.errors import FakevmError

# A file's header, and a record's (pcap(5), savefile format).
_FILE = "IHHiIII"
_RECORD = "IIII"
_HEADER_LEN = 24

# A file's first number, and how many nanoseconds are one of what follows a packet's seconds.
_MAGIC = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}

# A packet's first line, as `tcpdump -tt` prints it.
_TIME = re.compile(r"(\d+)\.(\d{1,9}) ")


class Packet(NamedTuple):
    """A packet, as far as it was captured, or a line of words about it."""

    # Since the epoch.
    time_ns: int
    data: bytes
    # Of the packet as it was.
    length: int


class Reader(Protocol):
    """What makes packets of a stream."""

    # As pcap numbers them; None: it is not known yet.
    link_type: int | None

    def feed(self, data: bytes) -> Sequence[Packet]:
        """Return the packets that are whole by now."""

    def settle(self) -> Sequence[Packet]:
        """Return what can be told to be whole since nothing more comes; called now and then."""


class PcapReader:
    """A stream of pcap's."""

    def __init__(self) -> None:
        self.link_type: int | None = None
        self._rest = b""
        self._record = struct.Struct(_RECORD)
        self._unit_ns = 1

    def feed(self, data: bytes) -> Sequence[Packet]:
        """Return the packets that are whole by now."""
        buffer = self._rest + data
        at = 0
        if self.link_type is None:
            if len(buffer) < _HEADER_LEN:
                self._rest = buffer
                return ()
            self._read_header(buffer)
            at = _HEADER_LEN
        found = []
        size, unpack, unit_ns = self._record.size, self._record.unpack_from, self._unit_ns
        while len(buffer) - at >= size:
            seconds, fraction, kept, length = unpack(buffer, at)
            end = at + size + kept
            if end > len(buffer):
                break
            time_ns = seconds * 1_000_000_000 + fraction * unit_ns
            found.append(Packet(time_ns, buffer[at + size : end], length))
            at = end
        self._rest = buffer[at:]
        return found

    def settle(self) -> Sequence[Packet]:
        """Return nothing: a record says how long it is."""
        return ()

    def _read_header(self, buffer: bytes) -> None:
        for order in "<>":
            magic, _, _, _, _, _, link_type = struct.unpack_from(order + _FILE, buffer)
            if magic in _MAGIC:
                # The upper bits are of the frame check sequence.
                self.link_type = link_type & 0xFFFF
                self._unit_ns = _MAGIC[magic]
                self._record = struct.Struct(order + _RECORD)
                return
        raise FakevmError(f"this is no pcap stream: {buffer[:16]!r}")


class LineReader:
    """Words, a line or more a packet: further ones are of what is in a tunnel."""

    # It has none.
    link_type: int | None = -1

    def __init__(self) -> None:
        self._rest = b""
        # The last packet, of which more may come, and whether any of it has come just now.
        self._open: tuple[int, list[str]] | None = None
        self._fresh = False

    def feed(self, data: bytes) -> Sequence[Packet]:
        """Return the packets that are whole by now: those before the last one."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._fresh = True
        found: list[Packet] = []
        for line in lines:
            text = line.decode(errors="replace").strip()
            if time := _TIME.match(text):
                found += self._whole()
                time_ns = int(time[1]) * 1_000_000_000 + int(time[2].ljust(9, "0"))
                self._open = (time_ns, [text[time.end() :]])
            elif text and self._open:
                self._open[1].append(text)
        return found

    def settle(self) -> Sequence[Packet]:
        """Return the last packet if nothing has come since this was called before."""
        if self._fresh:
            self._fresh = False
            return ()
        return self._whole()

    def _whole(self) -> Sequence[Packet]:
        if self._open is None:
            return ()
        time_ns, told = self._open
        self._open = None
        return (Packet(time_ns, " | ".join(told).encode(), 0),)
