"""What a lab is made from: settings, subnets, images, what lies over them. Imports clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.recipe import config, overlay, settings

    __all__ = ["config", "overlay", "settings"]

__getattr__ = lazy.modules(__name__)
