"""What is left to the night."""

from __future__ import annotations

from typing import Any

import pytest


def by_night(*values: Any) -> tuple[Any, ...]:
    """Return parameters of a story for which `make test` has no time."""
    return tuple(pytest.param(value, marks=pytest.mark.nightly) for value in values)
