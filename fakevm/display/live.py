"""What changes before the user's eyes, by rich: tables in place of the last ones, a migration."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from fakevm.display import tables

# How often what changes is drawn anew.
DRAW_S = 0.2

# Rows and, above them, their columns.
Section = tuple[Sequence[Sequence[str]], Sequence[str]]


@contextmanager
def screen(words: str) -> Iterator[Callable[[str, Sequence[Section]], None]]:
    """Give what shows a line and tables, on a screen of their own; the last ones remain.

    Until there are any, these words stand there.
    """
    console = Console()
    shown: list[RenderableType] = []

    def show(line: str, sections: Sequence[Section]) -> None:
        shown[:] = [Text(line), *(tables.made(rows, columns) for rows, columns in sections)]
        running.update(Group(*shown), refresh=True)

    try:
        # By one write, from the screen's beginning on: nothing is empty in between.
        with Live(Text(words), console=console, screen=True, auto_refresh=False) as running:
            yield show
    finally:
        console.print(*shown[1:])


class Below:
    """Lines on stderr, and below them a few that change. Use it in a `with` block.

    A thread of its own prints, so that nobody who says something waits for the terminal.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False
        )
        self._said: deque[str] = deque()
        self._drawn: Callable[[], Sequence[str]] = lambda: ()
        self._shown = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="below", daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._drawn = lambda: ()
        self._show()
        with suppress(OSError):
            self._live.stop()

    def say(self, text: str) -> None:
        """Print a line above."""
        self._said.append(text)

    def draw(self, drawn: Callable[[], Sequence[str]]) -> None:
        """Show below what this returns, from now on; the thread calls it."""
        self._drawn = drawn

    def _work(self) -> None:
        while not self._stop.wait(DRAW_S):
            self._show()

    def _show(self) -> None:
        lines = [self._said.popleft() for _ in range(len(self._said))]
        # One text: a table would take ten times as long, of the time of who migrates.
        drawn = "\n".join(self._drawn())
        if drawn == self._shown and not lines:
            return
        self._shown = drawn
        # A terminal that was closed is shown nothing.
        with suppress(OSError):
            if lines:
                self._console.print(Text("\n".join(lines)))
            self._live.update(Text(drawn, no_wrap=True, overflow="ellipsis"), refresh=True)
