"""How two things differ, and in which words that is said: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fakevm.stock.things import Ref


def differs(wanted: Any, there: Any) -> bool:
    """Tell whether what is there is not as wanted; of a mapping only what is wanted counts."""
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        return any(differs(value, there.get(name)) for name, value in wanted.items())
    if isinstance(there, frozenset):
        # Any of these words says it.
        return wanted not in there
    return bool(wanted != there)


def told(name: str, there: Any, wanted: Any) -> str:
    """Return how an attribute changes, in words."""
    name = name.removeprefix("_").removesuffix("_id")
    return f"{name} {_shown(there)} → {_shown(wanted)}"


def _shown(value: Any) -> str:
    if isinstance(value, Ref):
        return "/".join(value.names)
    if isinstance(value, Mapping):
        return " ".join(f"{_shown(one)}" for one in value.values())
    if isinstance(value, frozenset):
        return " or ".join(sorted(value))
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def route(one: Mapping[str, str]) -> str:
    """Return a route in words."""
    return f"{one['destination']} by {one['nexthop']}"
