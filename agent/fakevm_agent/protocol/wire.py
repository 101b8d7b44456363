"""JSON to values and back. The only module that imports pydantic."""

import functools
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import Base64Bytes, ConfigDict, TypeAdapter, ValidationError

from fakevm.errors import ConfigError
from fakevm.model import GuestState, Vif, Vm
from fakevm_agent.guest.run import Terminal
from fakevm_agent.suspend import state
from fakevm_agent.vms.plan import Record

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_NIC = re.compile("eth[0-9]{1,4}")
_MTU = range(68, 65536)
_TIMEOUT_MAX = 7 * 86400
_SIZES = range(1, 65536)

_STRICT = ConfigDict(extra="forbid")
_T = TypeVar("_T")
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """No parameters."""

    __pydantic_config__ = _STRICT


@dataclass(frozen=True, kw_only=True)
class PlugParams:
    """What `plug` takes."""

    __pydantic_config__ = _STRICT
    vif: Vif
    vm: Vm
    paused: bool = False
    late_tap: bool = False
    nic: str = ""


@dataclass(frozen=True, kw_only=True)
class SuspendParams:
    """What `suspend` takes."""

    __pydantic_config__ = _STRICT
    instance_id: str


@dataclass(frozen=True, kw_only=True)
class ResumeParams:
    """What `resume` takes; no state: the guest boots."""

    __pydantic_config__ = _STRICT
    instance_id: str
    state: GuestState | None = None
    rarp: bool = True


@dataclass(frozen=True, kw_only=True)
class ConfigureParams:
    """What `configure` takes."""

    __pydantic_config__ = _STRICT
    port_id: str
    timeout_s: float = 30.0


@dataclass(frozen=True, kw_only=True)
class PortParams:
    """What `unplug` takes."""

    __pydantic_config__ = _STRICT
    port_id: str


@dataclass(frozen=True, kw_only=True)
class ListParams:
    """What `list` takes."""

    __pydantic_config__ = _STRICT
    port_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExecParams:
    """What `exec` takes."""

    __pydantic_config__ = _STRICT
    argv: tuple[str, ...]
    port_id: str | None = None
    instance_id: str | None = None
    timeout_s: float | None = None
    tty: Terminal | None = None
    stdin: bool = False


@dataclass(frozen=True, kw_only=True)
class StdinParams:
    """What `exec.stdin` takes; no data is the end of the input."""

    __pydantic_config__ = _STRICT
    id: str | int | float | None
    data: Base64Bytes


@dataclass(frozen=True, kw_only=True)
class ResizeParams:
    """What `exec.resize` takes."""

    __pydantic_config__ = _STRICT
    id: str | int | float | None
    rows: int
    cols: int


@dataclass(frozen=True, kw_only=True)
class CleanupParams:
    """What `cleanup` takes."""

    __pydantic_config__ = _STRICT
    keep: tuple[str, ...]
    only: tuple[str, ...] | None = None
    dry_run: bool = False


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
    _check(found)
    return found


def dump(value: object) -> Any:
    """Return a dataclass as what JSON can hold."""
    return _adapter(type(value)).dump_python(value, mode="json")


def dump_record(record: Record) -> str:
    """Return a record as OVSDB keeps it."""
    return _adapter(Record).dump_json(record).decode()


@functools.lru_cache(maxsize=1024)
def parse_record(text: str) -> Record | None:
    """Return a record as OVSDB keeps it, or None where it is not one."""
    try:
        return parse(Record, json.loads(text))
    except (ConfigError, ValueError):
        return None


def _check(values: object) -> None:
    """Check what types do not say: these strings become names of files and devices."""
    match values:
        case PlugParams(vif=vif, vm=vm, nic=nic) | Record(vif=vif, vm=vm, nic=nic):
            _check_uuid("vm.instance_id", vm.instance_id)
            if nic and not _NIC.fullmatch(nic):
                raise ConfigError(f"nic: {nic!r:.80} is not like eth0")
            _check_vif(vif)
        case ConfigureParams(port_id=port_id, timeout_s=timeout_s):
            _check_uuid("port_id", port_id)
            _check_timeout(timeout_s)
        case PortParams(port_id=port_id):
            _check_uuid("port_id", port_id)
        case ListParams(port_id=str(port_id)):
            _check_uuid("port_id", port_id)
        case ExecParams():
            _check_exec(values)
        case ResizeParams(rows=rows, cols=cols):
            _check_size("size", rows, cols)
        case CleanupParams(keep=keep, only=only):
            for field, port_ids in (("keep", keep), ("only", only or ())):
                for number, port_id in enumerate(port_ids):
                    _check_uuid(f"{field}.{number}", port_id)
        case SuspendParams(instance_id=instance_id):
            _check_uuid("instance_id", instance_id)
        case ResumeParams(instance_id=instance_id, state=found):
            _check_uuid("instance_id", instance_id)
            if found:
                state.check(found)


def _check_exec(values: ExecParams) -> None:
    names: Mapping[str, str | None] = {
        "port_id": values.port_id,
        "instance_id": values.instance_id,
    }
    given = {name: value for name, value in names.items() if value is not None}
    if len(given) != 1:
        raise ConfigError("port_id: give either it or instance_id")
    for name, value in given.items():
        _check_uuid(name, value)
    if not values.argv or not values.argv[0]:
        raise ConfigError("argv: the first word, the command, is missing")
    if any("\0" in word for word in values.argv):
        raise ConfigError("argv: a word holds a null character, which no command can take")
    if values.timeout_s is not None:
        _check_timeout(values.timeout_s)
    if values.tty:
        _check_terminal(values.tty)


def _check_terminal(terminal: Terminal) -> None:
    _check_size("tty", terminal.rows, terminal.cols)
    if not terminal.term.isprintable() or not terminal.term:
        raise ConfigError("tty.term: expected a terminal's name such as xterm")


def _check_size(field: str, rows: int, cols: int) -> None:
    if rows not in _SIZES or cols not in _SIZES:
        raise ConfigError(f"{field}: {rows} rows, {cols} columns are not from 1 to {_SIZES[-1]}")


def _check_vif(vif: Vif) -> None:
    _check_uuid("vif.port_id", vif.port_id)
    _check_uuid("vif.network_id", vif.network_id)
    if not _MAC.fullmatch(vif.mac_address):
        raise ConfigError(f"vif.mac_address: {vif.mac_address!r} is not like fa:16:3e:00:00:01")
    if vif.mtu not in _MTU:
        raise ConfigError(f"vif.mtu: {vif.mtu} is not from {_MTU[0]} to {_MTU[-1]}")
    for number, fixed in enumerate(vif.fixed_ips):
        field = f"vif.fixed_ips.{number}"
        try:
            ipaddress.ip_interface(f"{fixed.ip_address}/{fixed.prefix_len}")
        except ValueError as error:
            raise ConfigError(f"{field}.ip_address: {error}") from error
        if fixed.gateway_ip is not None:
            try:
                ipaddress.ip_address(fixed.gateway_ip)
            except ValueError as error:
                raise ConfigError(f"{field}.gateway_ip: {error}") from error


def _check_uuid(field: str, value: str | None) -> None:
    if value is None or not _UUID.fullmatch(value):
        raise ConfigError(f"{field}: {value!r:.80} is not a UUID in small letters")


def _check_timeout(value: float) -> None:
    if not 0 < value <= _TIMEOUT_MAX:
        raise ConfigError(f"timeout_s: {value} is not above 0 and at most {_TIMEOUT_MAX}")
