"""What is to be in a lab: the way there from what is in it. Imports stock, migrate, vms."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.contents import converge, order, plan

    __all__ = ["converge", "order", "plan"]

__getattr__ = lazy.modules(__name__)
