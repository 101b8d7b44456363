"""The lab file: read, checked, said as things of a lab, saved. Imports contents, labs."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.labfile import (
        document,
        dry_run,
        find,
        save,
        settings,
        source,
        starter,
        wanted,
    )

    __all__ = [
        "document",
        "dry_run",
        "find",
        "save",
        "settings",
        "source",
        "starter",
        "wanted",
    ]

__getattr__ = lazy.modules(__name__)
