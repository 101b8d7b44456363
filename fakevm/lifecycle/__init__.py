"""A VM on its host, or on none: reboot, pause, shelve, delete. Imports migrate and vms."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.lifecycle import delete, run

    __all__ = ["delete", "run"]

__getattr__ = lazy.modules(__name__)
