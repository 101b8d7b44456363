"""A lab as a whole: it begins, changes, is looked at and ends. Imports recipe."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.labs import (
        down,
        elsewhere,
        join,
        restart,
        status,
        up,
        watch,
    )

    __all__ = [
        "down",
        "elsewhere",
        "join",
        "restart",
        "status",
        "up",
        "watch",
    ]

__getattr__ = lazy.modules(__name__)
