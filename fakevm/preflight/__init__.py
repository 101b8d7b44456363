"""Whether a lab would work on this machine, before it is started. Imports labs, clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.preflight import doctor

    __all__ = ["doctor"]

__getattr__ = lazy.modules(__name__)
