"""A live page of a lab, for a browser on this machine. Imports lab, display."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.ui import feed, moves, server

    __all__ = ["feed", "moves", "server"]

__getattr__ = lazy.modules(__name__)
