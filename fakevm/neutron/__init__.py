"""Neutron's API: its objects as values, and the calls. Imports what all share."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.neutron import login, password, sdk, sender

    __all__ = ["login", "password", "sdk", "sender"]

__getattr__ = lazy.modules(__name__)
