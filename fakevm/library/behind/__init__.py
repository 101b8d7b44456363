"""Behind the objects: how they are made, found and broken, and what they take as words."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.library.behind import begin, breaking, found, making

    __all__ = ["begin", "breaking", "found", "making"]

__getattr__ = lazy.modules(__name__)
