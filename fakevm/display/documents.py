"""Results as YAML."""

from __future__ import annotations

import json
from typing import Any

import yaml


def yaml_of(data: Any) -> str:
    """Return plain values as a YAML document: the same that JSON has."""
    made: str = yaml.safe_dump(json.loads(json.dumps(data)), sort_keys=False, allow_unicode=True)
    return made
