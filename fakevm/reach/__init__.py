"""Who reaches whom: what Neutron's objects say, and what is; a picture. Imports vms, clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.reach import graph, matrix

    __all__ = ["graph", "matrix"]

__getattr__ = lazy.modules(__name__)
