"""A VM moves to another host: Nova's protocols, and what is seen of them. Imports vms, probes."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.migrate import abort, confirm, move, request, run

    __all__ = ["abort", "confirm", "move", "request", "run"]

__getattr__ = lazy.modules(__name__)
