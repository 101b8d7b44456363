"""What is in a lab: as it is, as it is to be, and the way between. Imports migrate, vms."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.contents import converge, order, plan

    __all__ = ["converge", "order", "plan"]

__getattr__ = lazy.modules(__name__)
