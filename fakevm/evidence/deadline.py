"""What is asked for at once, and given up at one moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Generic, TypeVar

from fakevm.errors import FakevmError, WaitTimeoutError

T = TypeVar("T")


class Asked(Generic[T]):
    """A question, and its answer when it is there."""

    def __init__(self, deadline: Deadline, ask: Callable[[], T]) -> None:
        self._deadline = deadline
        self._future: Future[T] = Future()
        # A daemon's, for which nothing waits if it hangs, not even the interpreter's end.
        Thread(target=self._run, args=(ask,), name="evidence", daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether there is an answer, or an error."""
        return self._future.done()

    def answer(self) -> T:
        """Wait for the answer; FakevmError says why there is none, at the deadline at last."""
        try:
            return self._future.result(timeout=self._deadline.left)
        except FakevmError:
            raise
        except TimeoutError as error:
            if not self._future.done():
                raise WaitTimeoutError(f"cut off after {self._deadline.within_s:g} s") from error
            raise FakevmError(f"TimeoutError: {error}") from error
        except Exception as error:
            # A strange answer of a broken lab, or a bug here: it must not hide the failure that it
            # is evidence of.
            raise FakevmError(f"{type(error).__name__}: {error}") from error

    def _run(self, ask: Callable[[], T]) -> None:
        try:
            self._future.set_result(ask())
        except BaseException as error:
            self._future.set_exception(error)


class Deadline:
    """The moment at which what has no answer is cut off."""

    def __init__(self, within_s: float) -> None:
        self.within_s = within_s
        self._end = time.monotonic() + within_s

    @property
    def left(self) -> float:
        """How many seconds there are until then."""
        return max(0.0, self._end - time.monotonic())

    def ask(self, ask: Callable[[], T]) -> Asked[T]:
        """Begin to ask in a thread."""
        return Asked(self, ask)
