"""What is broken on purpose, and its end: containers, processes, links. Imports clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.outages import links, undo, verbs

    __all__ = ["links", "undo", "verbs"]

__getattr__ = lazy.modules(__name__)
