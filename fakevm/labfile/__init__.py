"""The lab file: what a lab is to have, read, planned, carried out, saved. Imports migrate, labs."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.labfile import (
        converge,
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
        "converge",
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
