"""JSON to values and back. The only module that imports pydantic."""

import json
from typing import Any, TypeVar

from pydantic import Base64Bytes, ConfigDict, TypeAdapter, ValidationError

from fakevm.errors import ConfigError

# Fields that are not known are refused.
STRICT = ConfigDict(extra="forbid")
# In base64, as JSON has them.
Bytes = Base64Bytes

_T = TypeVar("_T")
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    # Making one takes a millisecond, using it some microseconds.
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def parse(kind: type[_T], values: object) -> _T:
    """Return the values as `kind`, or raise ConfigError naming the field that is wrong."""
    try:
        found: _T = _adapter(kind).validate_python(values)
    except ValidationError as error:
        # The first is enough to mend, and a list of all may be long.
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "params"
        raise ConfigError(f"{field}: {first['msg']}") from error
    return found


def parse_text(kind: type[_T], text: str) -> _T:
    """Return the JSON text as `kind`, or raise ConfigError naming the field that is wrong."""
    return parse(kind, json.loads(text))


def dump(value: object) -> Any:
    """Return a dataclass as what JSON can hold."""
    return _adapter(type(value)).dump_python(value, mode="json")


def dump_text(value: object) -> str:
    """Return a dataclass as JSON."""
    return _adapter(type(value)).dump_json(value).decode()
