"""Ctrl-C, SIGTERM and SIGHUP: what must not be cut in two is finished first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A terminal that is closed sends SIGHUP.
ENDS = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which undo what is half-made just as Ctrl-C does."""


def raise_on_sigterm() -> None:
    """Let SIGTERM and SIGHUP unwind the program as Ctrl-C does."""

    def handler(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    for number in ENDS:
        # What nohup lets ignore stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


@contextmanager
def deferred(*, forget: bool = False) -> Iterator[None]:
    """Hold back Ctrl-C, SIGTERM and SIGHUP until the block has ended; `forget` drops them.

    In another thread than the main one no signal arrives, and this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    before = {s: signal.signal(s, remember) for s in (signal.SIGINT, *ENDS)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if arrived and not forget:
        signal.raise_signal(arrived[0])
