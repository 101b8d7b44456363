"""The pytest plug-in: labs for tests, what tests make in them, and evidence where one fails."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.testing import cloud, needs, removal, session

    __all__ = ["cloud", "needs", "removal", "session"]

__getattr__ = lazy.modules(__name__)
