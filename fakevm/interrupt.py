"""Ctrl-C and SIGTERM: what must not be cut in two is finished first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM, which undoes what is half-made just as Ctrl-C does."""


def raise_on_sigterm() -> None:
    """Let SIGTERM unwind the program as Ctrl-C does."""

    def handler(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, handler)


@contextmanager
def deferred(*, forget: bool = False) -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM until the block has ended; `forget` drops them.

    In another thread than the main one no signal arrives, and this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    before = {s: signal.signal(s, remember) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if arrived and not forget:
        signal.raise_signal(arrived[0])
