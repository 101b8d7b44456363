"""A container's log as the engine sends it, made into lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

# What the engine puts before each message: RFC 3339 with nanoseconds.
TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d)) ")


class LogStream:
    """A container's lines, each with its time before it. Another thread may close it."""

    def __init__(self, messages: Iterable[bytes], *, close: Callable[[], object]) -> None:
        self._messages = messages
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        yield from lines_of(self._messages)

    def close(self) -> None:
        """Hang up: what is waited for comes no more."""
        self._close()


def lines_of(messages: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines without their ends.

    The engine cuts a line after 16 KiB, and each of its messages begins with a time.
    """
    rest = b""
    for message in messages:
        whole = rest + (
            TIME.sub(b"", message, count=1) if rest and TIME.match(message) else message
        )
        if not whole.endswith(b"\n"):
            rest = whole
            continue
        rest = b""
        yield from whole[:-1].split(b"\n")
    if rest:
        yield rest
