"""Packets of many points at once, as one capture. Imports vms, protocol, clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.capture import find, points, run, sinks

    __all__ = ["find", "points", "run", "sinks"]

__getattr__ = lazy.modules(__name__)
