"""The command line: a module for each group of commands. Nothing imports it."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.cli import root, session
    from fakevm.display import documents, output, tables

    __all__ = ["documents", "output", "root", "session", "tables"]

__getattr__ = lazy.modules(__name__)
