"""One thing to do in a lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fakevm.stock.things import Ref, Thing

# tag: what an end cut off before it had its tag; release: what is in the way of another change,
# routes of an interface's, a VM's NIC of its trunk's.
Action = Literal["create", "change", "move", "plug", "delete", "release", "tag"]

Key = tuple[Action, Ref]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing to do, and what is to be done before it."""

    action: Action
    ref: Ref
    wanted: Thing | None = None
    present: Thing | None = None
    # What is written.
    attributes: Mapping[str, Any] = field(default_factory=dict)
    # What differs, in words.
    detail: str = ""
    needs: frozenset[Key] = frozenset()

    @property
    def key(self) -> Key:
        """Which one it is."""
        return self.action, self.ref

    def __str__(self) -> str:
        return f"{self.action} {self.ref}" + (f": {self.detail}" if self.detail else "")
