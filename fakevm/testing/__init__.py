"""The pytest plug-in: labs for tests, what tests make in them, and evidence where one fails."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.testing import cloud, labs, needs, owned, removal, session, workers

    __all__ = ["cloud", "labs", "needs", "owned", "removal", "session", "workers"]

__getattr__ = lazy.modules(__name__)
