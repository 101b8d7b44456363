"""A migration as it was seen: values, words, tables and a page. Imports protocol, neutron."""

from typing import TYPE_CHECKING

from fakevm import lazy

if TYPE_CHECKING:
    from fakevm.reports import page, tables, words

    __all__ = ["page", "tables", "words"]

__getattr__ = lazy.modules(__name__)
