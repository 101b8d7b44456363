"""A VM on its host, or on none: reboot, rebuild, pause, shelve. Imports migrate and vms."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.lifecycle import run

    __all__ = ["run"]

__getattr__ = lazy.modules(__name__)
