"""What a lab has, as things of one form with what is wanted. Imports reach, inventory."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.stock import present

    __all__ = ["present"]

__getattr__ = lazy.modules(__name__)
