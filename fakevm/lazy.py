"""How start-up is kept short: a package imports its modules when they are first used.

To import all of fakevm, with the libraries behind it, takes longer than most commands. So the head
of a module imports what the module always needs, and whatever only some of its functions need is
reached through its package:

    from fakevm import vms
    …
    vms.boot.delete_vm(lab, instance_id)  # the first time, this imports fakevm.vms.boot

Such a package says `__getattr__ = modules(__name__)` (PEP 562), and names those modules under
TYPE_CHECKING, for who checks types. A library that only some commands need is imported at the head
of a module of its own: keystoneauth in neutron.sender, rich in display.tables. There is no other
way: no import stands inside a function.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from threading import Thread
from typing import Any


def modules(package: str, **objects: str) -> Callable[[str], Any]:
    """Return a package's `__getattr__`, which imports the module of that name.

    objects: what else the package has, each with the module where it is.
    """

    def find(name: str) -> Any:
        if name in objects:
            return getattr(import_module(objects[name]), name)
        full = f"{package}.{name}"
        try:
            return import_module(full)
        except ModuleNotFoundError as error:
            # One of what the module itself imports is missing, or there is no such module.
            if error.name != full:
                raise
            raise AttributeError(f"{package} has no module {name!r}") from None

    return find


def in_advance(*names: str) -> None:
    """Import modules in the background, while something else is waited for."""
    Thread(target=lambda: [import_module(name) for name in names], daemon=True).start()
