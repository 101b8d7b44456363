"""What is printed: tables, YAML, JSON, the user's terminal. Imports reach, vms, clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.display import (
        documents,
        graph,
        live,
        matrix,
        moving,
        output,
        picture,
        several,
        tables,
        way,
    )

    __all__ = [
        "documents",
        "graph",
        "live",
        "matrix",
        "moving",
        "output",
        "picture",
        "several",
        "tables",
        "way",
    ]

__getattr__ = lazy.modules(__name__)
