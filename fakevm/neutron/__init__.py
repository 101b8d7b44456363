"""Neutron's API: its objects as values, and the calls. Imports what all share."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.neutron import sdk, sender

    __all__ = ["sdk", "sender"]

__getattr__ = lazy.modules(__name__)
