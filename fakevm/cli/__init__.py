"""The command line: a module for each group of commands, lab/ and vm/. Nothing imports it."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.cli import root, session

    __all__ = ["root", "session"]

__getattr__ = lazy.modules(__name__)
