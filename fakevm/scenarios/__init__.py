"""Neutron's faults: each a module that finds out whether a lab has it. Imports the lab's face."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.scenarios import known, names, scenario, stage, tries

    __all__ = ["known", "names", "scenario", "stage", "tries"]

__getattr__ = lazy.modules(__name__)
