"""What differs between backends, a module for each behind one interface. Imports neutron."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.backends import known

    __all__ = ["known"]

__getattr__ = lazy.modules(__name__)
