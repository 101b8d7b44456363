"""Where a packet goes, hop by hop, and what drops it. Imports reach, vms, clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.trace import live, way

    __all__ = ["live", "way"]

__getattr__ = lazy.modules(__name__)
