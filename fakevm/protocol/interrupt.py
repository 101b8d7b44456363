"""Ctrl-C, SIGTERM and SIGHUP: what must not be cut in two is finished first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

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


class Held:
    """Signals that are held back."""

    def __init__(self) -> None:
        self._arrived: list[int] = []
        self._before: dict[int, Any] = {}

    def hold(self) -> None:
        """Begin to hold them back, and forget those that there were."""
        self._arrived.clear()
        numbers = (signal.SIGINT, *ENDS)
        self._before = {number: signal.signal(number, self._remember) for number in numbers}

    def release(self) -> None:
        """Let them through from now on."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def raise_arrived(self) -> None:
        """Raise the first of those that have arrived."""
        if self._arrived:
            signal.raise_signal(self._arrived[0])

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Let them through during the block, first the one that has arrived."""
        if not self._before:
            yield
            return
        self.release()
        try:
            self.raise_arrived()
            yield
        finally:
            self.hold()

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self._arrived.append(number)


@contextmanager
def deferred(*, forget: bool = False) -> Iterator[Held]:
    """Hold back Ctrl-C, SIGTERM and SIGHUP until the block has ended; `forget` drops them.

    In another thread than the main one no signal arrives, and this does nothing.
    """
    held = Held()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    held.hold()
    try:
        yield held
    finally:
        held.release()
    if not forget:
        held.raise_arrived()
