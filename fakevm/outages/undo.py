"""The end of an outage that lasts as long as a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fakevm.errors import FakevmError


@contextmanager
def at_the_end(undo: Callable[[], object]) -> Iterator[None]:
    """Undo at the block's end what the block did, or half did.

    If the block failed, its error is raised, and tells as notes of what could not be undone.
    """
    try:
        yield
    except BaseException as error:
        try:
            undo()
        except FakevmError as failure:
            # What is refused is refused both times, in the same words.
            if str(failure) != str(error):
                for words in (f"and {failure}", *getattr(failure, "__notes__", ())):
                    error.add_note(words)
        raise
    undo()
