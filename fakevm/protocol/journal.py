"""What was done when, told as it happens."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from fakevm.clients.events import Events

Outcome = Literal["done", "failed", "undone"]


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """When a step was carried out, or undone; seconds since the epoch.

    A step that was undone has a second value, with the outcome "undone" and the time of its undo.
    """

    name: str
    # "conductor", "source" or "destination".
    actor: str
    start: float
    end: float
    outcome: Outcome = "done"
    # Nova's function that does this.
    source: str = ""
    # Why it failed; of an undo, what it could not undo.
    error: str = ""

    @property
    def label(self) -> str:
        """Its name, that of an undo told apart."""
        return f"undo {self.name}" if self.outcome == "undone" else self.name


class Journal:
    """What was done when, told as it happens. Times are seconds since the epoch."""

    def __init__(
        self,
        *,
        say: Callable[[str], None] = lambda _text: None,
        tell: Callable[[str, str, str], None] = lambda _name, _actor, _status: None,
    ) -> None:
        """`say` gets a line for a person, `tell` each step's name, actor and status."""
        self._say = say
        self._tell = tell
        self.times: list[StepTime] = []
        # The step that is carried out: its name, its actor, and since when; None: none is.
        self.running: tuple[str, str, float] | None = None

    @contextmanager
    def step(
        self, name: str, actor: str, *, source: str = "", undo: bool = False
    ) -> Iterator[None]:
        """Time the block and tell of it, whether it succeeds or not."""
        start = time.time()
        self.running = name, actor, start
        outcome: Outcome = "failed"
        reason = ""
        # It cannot be told on a terminal that was closed.
        with suppress(OSError):
            self._say(f"{name} ({actor})")
        self._tell(name, actor, "started")
        try:
            yield
            outcome = "undone" if undo else "done"
        except BaseException as error:
            reason = str(error) or type(error).__name__
            raise
        finally:
            self.running = None
            self.times.append(
                StepTime(
                    name=name,
                    actor=actor,
                    start=start,
                    end=time.time(),
                    outcome=outcome,
                    source=source,
                    error=reason,
                )
            )
            self._tell(name, actor, outcome)


def note(events: Events, instance_id: str) -> Callable[[str, str, str], None]:
    """Return what notes the steps of one operation on a server among Neutron's events."""
    operation = uuid.uuid4().hex[:12]

    def tell(name: str, actor: str, status: str) -> None:
        events.record(name, status, source=actor, instance_id=instance_id, operation=operation)

    return tell
