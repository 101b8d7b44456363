"""Where a capture goes: a pcapng file, or lines of words."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from fakevm.capture import pcapng
from fakevm.capture.merge import Seen
from fakevm.capture.points import Point
from fakevm.capture.tcpdump import Counted
from fakevm.errors import ConfigError

# What a reader of the file should know of its times.
COMMENT = "All times are of one clock: the hosts are containers, and share their machine's kernel."


class Sink(Protocol):
    """What a capture is written to, by one thread."""

    # Whether it takes tcpdump's words instead of packets.
    words: bool

    def begin(self, bpf: str) -> None:
        """Be ready. ConfigError: it can't be written."""

    def add(self, number: int, point: Point, link_type: int) -> None:
        """Take a point; its packets come with its number."""

    def write(self, batch: Sequence[Seen]) -> None:
        """Take packets, and hand them on."""

    def end(self, counted: Mapping[int, Counted]) -> None:
        """Take what was counted at the points; there is no more."""

    def close(self) -> None:
        """Let go of what it is written to."""


class PcapngSink:
    """A pcapng file with an interface for each point."""

    words = False

    def __init__(self, to: Path | BinaryIO) -> None:
        self._to = to
        self._file: BinaryIO | None = None
        self._bpf = ""
        # By a point's number, its interface's.
        self._interfaces: dict[int, int] = {}

    def begin(self, bpf: str) -> None:
        """Open the file."""
        self._bpf = bpf
        if isinstance(self._to, Path):
            try:
                # It is handed on in batches, which need no other buffer.
                self._file = self._to.open("wb", buffering=0)
            except OSError as error:
                raise ConfigError(f"{self._to} can't be written: {error.strerror}") from error
        else:
            self._file = self._to
        self._write(pcapng.section(COMMENT, "fakevm capture"))

    def add(self, number: int, point: Point, link_type: int) -> None:
        """Write its interface."""
        self._interfaces[number] = len(self._interfaces)
        self._write(
            pcapng.interface(link_type, name=point.name, description=point.about, bpf=self._bpf)
        )

    def write(self, batch: Sequence[Seen]) -> None:
        """Write packets."""
        interfaces, block = self._interfaces, pcapng.packet
        self._write(b"".join([block(interfaces[point], packet) for packet, point in batch]))

    def end(self, counted: Mapping[int, Counted]) -> None:
        """Write what was counted."""
        now = time.time_ns()
        for number, interface in self._interfaces.items():
            found = counted.get(number, Counted())
            if found.received is not None and found.dropped is not None:
                self._write(
                    pcapng.statistics(
                        interface, time_ns=now, received=found.received, dropped=found.dropped
                    )
                )

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self._file is not None and self._file is not self._to:
            with suppress(BrokenPipeError):
                self._file.close()

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        write_all(self._file, data)


@dataclass(kw_only=True)
class LineSink:
    """A line a packet: `show` makes it of a point's name, a time in nanoseconds and words."""

    show: Callable[[str, int, str], str]
    to: BinaryIO
    words = True

    def __post_init__(self) -> None:
        self._names: dict[int, str] = {}

    def begin(self, bpf: str) -> None:
        """Be ready."""

    def add(self, number: int, point: Point, link_type: int) -> None:
        """Remember its name."""
        self._names[number] = point.name

    def write(self, batch: Sequence[Seen]) -> None:
        """Print packets."""
        width = max(map(len, self._names.values()))
        lines = [
            self.show(self._names[point].ljust(width), packet.time_ns, packet.data.decode())
            for packet, point in batch
        ]
        if not lines:
            return
        write_all(self.to, "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace"))

    def end(self, counted: Mapping[int, Counted]) -> None:
        """Print no more."""

    def close(self) -> None:
        """Nothing was opened here."""


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of it, where a file without a buffer may take less."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]
