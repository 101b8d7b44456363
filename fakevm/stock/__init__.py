"""What a lab has, as things of one form with what is wanted. Imports reach, inventory, recipe."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.stock import naming, nearest, present, raw, rules, things

    __all__ = ["naming", "nearest", "present", "raw", "rules", "things"]

__getattr__ = lazy.modules(__name__)
