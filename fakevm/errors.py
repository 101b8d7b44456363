"""The errors that fakevm raises on purpose, and the exit code of each.

FakevmError            1  any other failure that a person can act on
├── ConfigError        2  a setting or an argument is missing or wrong (as click's usage errors)
├── NotFoundError      3  what should exist does not
├── ConflictError      4  it exists already, with other properties, or is busy
├── UnavailableError   5  Docker, Neutron, OVS or an agent does not answer
└── WaitTimeoutError   6  a state was not reached in time
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class FakevmError(Exception):
    """A failure shown to the user without a traceback.

    The message names the subject and says what was expected; `hint` is the command that mends it.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(FakevmError):
    """A setting or an argument is missing or wrong."""

    exit_code = 2


class NotFoundError(FakevmError):
    """What should exist does not."""

    exit_code = 3


class ConflictError(FakevmError):
    """It exists already, with other properties, or something else holds it."""

    exit_code = 4


class UnavailableError(FakevmError):
    """Docker, Neutron, OVS or an agent does not answer."""

    exit_code = 5


class WaitTimeoutError(FakevmError):
    """A state was not reached in time."""

    exit_code = 6


# An agent sends the name of the class over the wire, and the client raises that class again.
BY_NAME: dict[str, type[FakevmError]] = {
    cls.__name__: cls
    for cls in (
        FakevmError,
        ConfigError,
        NotFoundError,
        ConflictError,
        UnavailableError,
        WaitTimeoutError,
    )
}


def attempt_each(things: Sequence[T], act: Callable[[T], R]) -> tuple[list[R], list[FakevmError]]:
    """Do it for each, also after a failure; return what came of it, and the failures."""
    results: list[R] = []
    failures: list[FakevmError] = []
    for thing in things:
        try:
            results.append(act(thing))
        except FakevmError as failure:
            failures.append(failure)
    return results, failures


def for_each(things: Sequence[T], act: Callable[[T], object]) -> None:
    """Do it for each, also after a failure; then raise the first, with the others as its notes."""
    raise_all(attempt_each(things, act)[1])


def raise_all(failures: Sequence[FakevmError]) -> None:
    """Raise the first error, if there is one, with the others as its notes."""
    if failures:
        first, *others = failures
        for other in others:
            for words in (f"and {other}", *getattr(other, "__notes__", ())):
                first.add_note(words)
        raise first
