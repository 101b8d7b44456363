"""A lab as a whole: it begins, changes, is looked at and ends. Imports backends, clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.labs import (
        config,
        down,
        elsewhere,
        join,
        overlay,
        restart,
        settings,
        status,
        up,
        watch,
    )

    __all__ = [
        "config",
        "down",
        "elsewhere",
        "join",
        "overlay",
        "restart",
        "settings",
        "status",
        "up",
        "watch",
    ]

__getattr__ = lazy.modules(__name__)
