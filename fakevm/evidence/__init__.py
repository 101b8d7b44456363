"""Evidence of a failure: what a lab tells of a time window. Imports logs, trace, labfile, labs."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.evidence import collect, values

    __all__ = ["collect", "values"]

__getattr__ = lazy.modules(__name__)
