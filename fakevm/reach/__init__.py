"""Who reaches whom: what Neutron's objects say should be, and what is. Imports vms, clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.reach import matrix

    __all__ = ["matrix"]

__getattr__ = lazy.modules(__name__)
