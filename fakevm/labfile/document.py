"""A lab file's text as values that are as they should be; all that is not is told at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fakevm.labfile import checks, model, source
from fakevm.labfile.checks import Found
from fakevm.labfile.model import LabFile
from fakevm.labfile.problems import LabFileError, Path
from fakevm.stock.nearest import did_you_mean

# pydantic's words for kinds of values, and ours.
_KINDS = {
    "bool_type": "true or false",
    "int_type": "a number",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}

# What pydantic puts before the words of a ValueError.
_PREFIX = "Value error, "


def read(data: bytes, file: str) -> LabFile:
    """Return what a lab file says; LabFileError with all that is wrong in it."""
    text = source.read(data, file)
    found = checked(text.values)
    if not isinstance(found, LabFile):
        raise LabFileError([text.problem(path, what) for path, what in found])
    return found


def checked(values: Mapping[str, Any], about: Path = ()) -> LabFile | list[Found]:
    """Return what a lab file's values say, or all that is wrong in them, and where.

    Of what does not fit together only what is `about` counts.
    """
    try:
        found = LabFile.model_validate(values)
    except model.ValidationError as error:
        known = model.schema()
        return [_problem(known, one) for one in error.errors()]
    return [one for one in checks.of(found) if one[0][: len(about)] == about] or found


def _problem(schema: Mapping[str, Any], error: Mapping[str, Any]) -> Found:
    """Return the place of one of pydantic's errors, and our words for it."""
    path: Path = tuple(error["loc"])
    if path and path[-1] == "[key]":
        path = path[:-1]
    key = str(path[-1]) if path else ""
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        near = did_you_mean(key, _keys(schema, path[:-1]))
        return path, f"there is no key {key!r} here{near}"
    if kind == "missing":
        return path[:-1], f"the key {key!r} is missing"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        near = did_you_mean(str(given), choices)
        what = f"{', '.join(choices)} is expected, not {_shown(given)}{near}"
    elif kind in _KINDS:
        what = f"{_KINDS[kind]} is expected, not {_shown(given)}"
    else:
        what = str(error["msg"]).removeprefix(_PREFIX)
        # Of what is not named in the words themselves.
        if kind != "value_error":
            what = f"{what[:1].lower()}{what[1:]}, not {_shown(given)}"
    named = path and isinstance(path[-1], str)
    return path, f"{key}: {what}" if named else what


def _shown(given: Any) -> str:
    """Return what stands in the file, in a few words."""
    if given is None:
        return "nothing"
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, dict):
        return "a mapping"
    if isinstance(given, list):
        return "a list"
    shown = repr(given)
    return shown if len(shown) < 60 else f"{shown[:57]}…"


def _keys(schema: Mapping[str, Any], path: Path) -> list[str]:
    """Return the keys that a mapping at a path may have."""
    here: Mapping[str, Any] = schema
    for step in path:
        here = _object(schema, here)
        if isinstance(step, int):
            here = here.get("items", {})
        else:
            here = here.get("properties", {}).get(step) or here.get("additionalProperties") or {}
    return list(_object(schema, here).get("properties", {}))


def _object(schema: Mapping[str, Any], here: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a schema says of mappings and lists, wherever it says it."""
    if ref := here.get("$ref"):
        return _object(schema, schema["$defs"][ref.rpartition("/")[2]])
    for choice in here.get("anyOf", ()):
        found = _object(schema, choice)
        if found.keys() & {"properties", "items", "additionalProperties"}:
            return found
    return here
