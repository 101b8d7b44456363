"""Waiting for a state, with a deadline that a slow machine meets too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    what: str, check: Callable[[], T], *, timeout_s: float = 90, interval_s: float = 0.2
) -> T:
    """Return the first true value of `check`; fail, naming `what`, when the deadline has passed."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen within {timeout_s:g} s: {what}; last: {value!r}")
        time.sleep(interval_s)
