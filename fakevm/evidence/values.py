"""Evidence as values: who was to reach whom, what happened when, what is told of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fakevm.backends.packet import Protocol
from fakevm.errors import ConfigError

# What a moment is of, the most telling first: a test's own word, what is broken on purpose, an
# error, a step that failed; a warning; Neutron's word to Nova; a step as it should be.
Kind = Literal["said", "error", "warning", "event", "step"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two VMs, by name, of which one was to reach the other, and how."""

    source: str
    target: str
    protocol: Protocol = "icmp"
    # Of tcp and udp.
    port: int | None = None

    def __str__(self) -> str:
        return f"{self.source} → {self.target}, {'/'.join(filter(None, self._how))}"

    @property
    def _how(self) -> tuple[str, str]:
        return self.protocol, str(self.port or "")

    @property
    def stem(self) -> str:
        """Its part of a file's name."""
        return "-".join(filter(None, (self.source, self.target, *self._how)))


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Something that happened, or was said."""

    # Seconds since the epoch.
    time: float
    kind: Kind
    # A host and its process, a service, "neutron-rpc → Nova", "fakevm", "test".
    who: str
    text: str
    # How often the same was said, and when for the last time.
    count: int = 1
    last: float = 0


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of the evidence."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is told of a failure. There is no password in it."""

    lab: str
    # For a terminal, the most telling first.
    lines: tuple[str, ...]
    files: tuple[File, ...]

    def save(self, folder: Path) -> tuple[Path, ...]:
        """Write all files below a folder, which is made if need be; return their paths."""
        written = []
        for file in self.files:
            path = folder / file.name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file.text, encoding="utf-8", errors="replace")
            except OSError as error:
                raise ConfigError(f"{path}: {error.strerror}") from error
            written.append(path)
        return tuple(written)


def pairs_in(error: BaseException | None) -> tuple[Pair, ...]:
    """Return the pairs that an error tells of, its causes and those of its group included."""
    return tuple(dict.fromkeys(_pairs_in(error, set())))


def _pairs_in(error: BaseException | None, seen: set[int]) -> Iterator[Pair]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    if isinstance(pair := getattr(error, "pair", None), Pair):
        yield pair
    inner: Sequence[BaseException] = ()
    if isinstance(error, BaseExceptionGroup):
        inner = error.exceptions
    for one in (*inner, error.__cause__, error.__context__):
        yield from _pairs_in(one, seen)
