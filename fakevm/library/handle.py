"""What all objects of a lab have in common: which lab, which name, which id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from fakevm.lab import Lab


@dataclass(frozen=True, kw_only=True)
class Handle:
    """An object of a lab. It remembers no more than which one it is: values are asked for."""

    lab: Lab = field(repr=False)
    name: str
    id: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class Resource(Handle):
    """An object of Neutron's own."""

    # Where Neutron has it, and its word in an answer.
    _path: ClassVar[str]
    _member: ClassVar[str]

    @property
    def attributes(self) -> Mapping[str, Any]:
        """All that Neutron says of it."""
        found: Mapping[str, Any] = self.lab.neutron.answer(f"{self._path}/{self.id}")[self._member]
        return found


def plain(value: Any) -> Any:
    """Return words as a lab file has them, where Python has more kinds of values."""
    if isinstance(value, Handle | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(one) for one in value]
    return value
