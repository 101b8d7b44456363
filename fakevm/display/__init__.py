"""What is printed: results as tables, YAML and JSON, and the user's terminal. Imports clients."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.display import documents, output, tables

    __all__ = ["documents", "output", "tables"]

__getattr__ = lazy.modules(__name__)
