"""What must not wait for imports: a command in a VM, and what a shell's completion offers."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.shortcut import asking, containers, execute, locate, offers

    __all__ = ["asking", "containers", "execute", "locate", "offers"]

__getattr__ = lazy.modules(__name__)
