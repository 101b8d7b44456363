"""How an act is carried out: in steps, timed, told, undone, one at a time. Imports clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.protocol import steps

    __all__ = ["steps"]

__getattr__ = lazy.modules(__name__)
