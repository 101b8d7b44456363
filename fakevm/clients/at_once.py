"""The same for several things, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(work: Callable[[T], R], things: Sequence[T], *, workers: int = 16) -> list[R]:
    """Do the same for each thing, so many at once; return what came of it, in their order."""
    with ThreadPoolExecutor(max_workers=max(1, min(len(things), workers))) as pool:
        return list(pool.map(work, things))
