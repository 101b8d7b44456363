"""The same for several things, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(work: Callable[[T], R], things: Sequence[T], *, workers: int = 16) -> list[R]:
    """Do the same for each thing, so many at once; return what came of it, in their order."""
    pool = ThreadPoolExecutor(max_workers=max(1, min(len(things), workers)))
    try:
        found = list(pool.map(work, things))
    except BaseException as error:
        # Ctrl-C waits for none of them: who opened what they talk with closes it.
        pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
        raise
    pool.shutdown()
    return found
