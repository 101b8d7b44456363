"""Protocols as values: steps that are carried out in order, timed, told, and undone on failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from fakevm.errors import ConfigError, FakevmError, for_each
from fakevm.protocol.interrupt import Held, deferred
from fakevm.protocol.journal import Journal

T = TypeVar("T")

# Who acts: Nova's conductor, or its compute service on one of the two hosts.
Actor = Literal["conductor", "source", "destination"]


@dataclass(frozen=True, kw_only=True)
class Step(Generic[T]):
    """One act of a protocol, on what it is about."""

    name: str
    actor: Actor
    # The function, of Nova unless it says otherwise, that does it there.
    source: str
    act: Callable[[T], object]
    # Only waits, so that Ctrl-C may come in between. A request that is cut off is carried out all
    # the same, and perhaps after its undo.
    waits: bool = False
    # Of one that waits, what of it is done where Ctrl-C has ended the wait, or one before it.
    at_least: Callable[[T], object] | None = None


@dataclass(frozen=True, kw_only=True)
class Undo(Generic[T]):
    """What takes a step back; content where the step did nothing, or only a part."""

    # The step's name.
    of: str
    name: str
    actor: Actor
    source: str
    act: Callable[[T], object]


@dataclass(frozen=True, kw_only=True)
class Protocol(Generic[T]):
    """Steps until nothing can be taken back, and those after it.

    The last of `steps` is the point of no return: when it has been done, the VM is there.
    `rollback` stands in Nova's order, which is not always the reverse.
    """

    name: str
    steps: tuple[Step[T], ...]
    after: tuple[Step[T], ...] = ()
    rollback: tuple[Undo[T], ...] = ()

    def names(self) -> list[str]:
        """Return the names of all steps, in order."""
        return [step.name for step in (*self.steps, *self.after)]

    def undo_of(self, step: str) -> str:
        """Return the names of what takes a step back; "" where nothing does, or need not."""
        return ", ".join(undo.name for undo in self.rollback if undo.of == step)


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What a user lets go wrong: seconds to wait before a step, and the step that fails."""

    delays: Mapping[str, float] = field(default_factory=dict)
    fail_at: str | None = None

    def check(self, names: Collection[str]) -> None:
        """Raise ConfigError for a step that there is not."""
        wanted = [*self.delays, *([self.fail_at] if self.fail_at else [])]
        for name in wanted:
            if name not in names:
                raise ConfigError(f"there is no step {name!r}; there are: {', '.join(names)}")


def carry_out(
    protocol: Protocol[T],
    subject: T,
    journal: Journal,
    *,
    faults: Faults = Faults(),
    before: Callable[[Step[T] | Undo[T]], None] = lambda _step: None,
) -> None:
    """Carry a protocol out. A failure or Ctrl-C before the point of no return is undone.

    After it Ctrl-C comes too late but for steps that wait, and a failure is raised when all else
    has been done. `before` is called before each step and each undo, outside its time.
    """
    faults.check(protocol.names())

    def act(step: Step[T], held: Held | None = None) -> None:
        before(step)
        with journal.step(step.name, step.actor, source=step.source):
            if delay := faults.delays.get(step.name, 0):
                with held.lifted() if held else nullcontext():
                    time.sleep(delay)
            if step.name == faults.fail_at:
                raise FakevmError(f"step '{step.name}' was made to fail (--fail-at)")
            step.act(subject)

    begun: set[str] = set()
    with ExitStack() as whole:
        try:
            *steps, last = protocol.steps
            for step in steps:
                begun.add(step.name)
                if step.waits:
                    act(step)
                else:
                    with deferred() as held:
                        act(step, held)
            begun.add(last.name)
            # From its request on nobody knows whether the VM is here or there.
            held = whole.enter_context(deferred(forget=True))
            act(last, held)
        except BaseException as error:
            with deferred(forget=True):
                _roll_back(protocol, subject, journal, begun, before, error)
            raise
        try:
            _finish(protocol.after, act, held)
        except KeyboardInterrupt as interrupt:
            _hurry(protocol.after, subject, interrupt)
            raise


def _finish(steps: Sequence[Step[T]], act: Callable[[Step[T]], None], held: Held) -> None:
    """Do each, whatever became of those before it; what waits, until Ctrl-C."""
    failed: list[str] = []

    def attempt(step: Step[T]) -> None:
        try:
            with held.lifted() if step.waits else nullcontext():
                act(step)
        except FakevmError:
            failed.append(f"'{step.name}'")
            raise

    try:
        for_each(steps, attempt)
    except FakevmError as error:
        error.add_note(f"not all was done of {', '.join(failed)}")
        raise


def _hurry(steps: Sequence[Step[T]], subject: T, interrupt: KeyboardInterrupt) -> None:
    """Do of the steps that wait what needs no wait."""
    waiting = [step for step in steps if step.waits]
    interrupt.add_note("all is done but " + ", ".join(f"'{step.name}'" for step in waiting))
    for step in waiting:
        try:
            if step.at_least:
                step.at_least(subject)
        except FakevmError as failure:
            interrupt.add_note(f"and '{step.name}' failed: {failure}")


def _roll_back(
    protocol: Protocol[T],
    subject: T,
    journal: Journal,
    begun: Collection[str],
    before: Callable[[Undo[T]], None],
    error: BaseException,
) -> None:
    for undo in protocol.rollback:
        if undo.of not in begun:
            continue
        try:
            before(undo)
            with journal.step(undo.name, undo.actor, source=undo.source, undo=True):
                undo.act(subject)
        except FakevmError as failure:
            error.add_note(f"and '{undo.name}' failed: {failure}")
