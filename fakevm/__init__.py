"""A real OpenStack Neutron with emulated VMs to serve; `fakevm.lab.Lab` is the library's face."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm import lab

    __all__ = ["lab"]

__getattr__ = lazy.modules(__name__)
