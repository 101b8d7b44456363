"""A command in a VM by the shortest way, for exec and shell. Imports the lab where that fails."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.shortcut import asking, execute, locate

    __all__ = ["asking", "execute", "locate"]

__getattr__ = lazy.modules(__name__)
