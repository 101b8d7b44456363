"""What each of the agent's requests takes, and what is checked of it."""

from dataclasses import dataclass
from typing import TypeVar

from fakevm.errors import ConfigError
from fakevm.model import GuestState, Vif, Vm
from fakevm_agent.guest.run import Terminal
from fakevm_agent.protocol import wire
from fakevm_agent.protocol.checks import check_plugged, check_size, check_timeout, check_uuid
from fakevm_agent.suspend.state import check as check_state


@dataclass(frozen=True, kw_only=True)
class Params:
    """What a request takes."""

    __pydantic_config__ = wire.STRICT

    def _check(self) -> None:
        """Raise ConfigError for what the types do not say."""


_P = TypeVar("_P", bound=Params)


def parse(kind: type[_P], values: object) -> _P:
    """Return the values as `kind`, or raise ConfigError naming the field that is wrong."""
    found = wire.parse(kind, values)
    found._check()
    return found


@dataclass(frozen=True, kw_only=True)
class Nothing(Params):
    """No parameters."""


@dataclass(frozen=True, kw_only=True)
class PlugParams(Params):
    """What `plug` takes."""

    vif: Vif
    vm: Vm
    paused: bool = False
    late_tap: bool = False
    nic: str = ""

    def _check(self) -> None:
        check_plugged(self.vif, self.vm, self.nic)


@dataclass(frozen=True, kw_only=True)
class SuspendParams(Params):
    """What `suspend` takes; `keep`: the VM goes on here, with all that it had."""

    instance_id: str
    keep: bool = False

    def _check(self) -> None:
        check_uuid("instance_id", self.instance_id)


@dataclass(frozen=True, kw_only=True)
class ResumeParams(Params):
    """What `resume` takes; no state: what this host kept, or else the guest boots."""

    instance_id: str
    state: GuestState | None = None
    rarp: bool = True

    def _check(self) -> None:
        check_uuid("instance_id", self.instance_id)
        if self.state:
            check_state(self.state)


@dataclass(frozen=True, kw_only=True)
class ConfigureParams(Params):
    """What `configure` takes."""

    port_id: str
    timeout_s: float = 30.0

    def _check(self) -> None:
        check_uuid("port_id", self.port_id)
        check_timeout(self.timeout_s)


@dataclass(frozen=True, kw_only=True)
class PortParams(Params):
    """What `unplug` takes."""

    port_id: str

    def _check(self) -> None:
        check_uuid("port_id", self.port_id)


@dataclass(frozen=True, kw_only=True)
class ListParams(Params):
    """What `list` takes."""

    port_id: str | None = None

    def _check(self) -> None:
        if self.port_id is not None:
            check_uuid("port_id", self.port_id)


@dataclass(frozen=True, kw_only=True)
class CommandParams(Params):
    """What every command in a VM takes."""

    argv: tuple[str, ...]
    timeout_s: float | None = None

    def _check(self) -> None:
        if not self.argv or not self.argv[0]:
            raise ConfigError("argv: the first word, the command, is missing")
        if any("\0" in word for word in self.argv):
            raise ConfigError("argv: a word holds a null character, which no command can take")
        if self.timeout_s is not None:
            check_timeout(self.timeout_s)


@dataclass(frozen=True, kw_only=True)
class ExecParams(CommandParams):
    """What `exec` takes."""

    port_id: str
    tty: Terminal | None = None
    stdin: bool = False

    def _check(self) -> None:
        check_uuid("port_id", self.port_id)
        super()._check()
        if self.tty:
            _check_terminal(self.tty)


@dataclass(frozen=True, kw_only=True)
class ExecEachParams(CommandParams):
    """What `exec_each` takes."""

    instance_ids: tuple[str, ...]

    def _check(self) -> None:
        for number, instance_id in enumerate(self.instance_ids):
            check_uuid(f"instance_ids.{number}", instance_id)
        # What is left of a command is told from others' by its VM.
        if len(set(self.instance_ids)) < len(self.instance_ids):
            raise ConfigError("instance_ids: one of them stands there twice")
        super()._check()


@dataclass(frozen=True, kw_only=True)
class StdinParams(Params):
    """What `exec.stdin` takes; no data is the end of the input."""

    id: str | int | float | None
    data: wire.Bytes


@dataclass(frozen=True, kw_only=True)
class ResizeParams(Params):
    """What `exec.resize` takes."""

    id: str | int | float | None
    rows: int
    cols: int

    def _check(self) -> None:
        check_size("size", self.rows, self.cols)


@dataclass(frozen=True, kw_only=True)
class CleanupParams(Params):
    """What `cleanup` takes."""

    keep: tuple[str, ...]
    only: tuple[str, ...] | None = None
    dry_run: bool = False

    def _check(self) -> None:
        for field, port_ids in (("keep", self.keep), ("only", self.only or ())):
            for number, port_id in enumerate(port_ids):
                check_uuid(f"{field}.{number}", port_id)


def _check_terminal(terminal: Terminal) -> None:
    check_size("tty", terminal.rows, terminal.cols)
    if not terminal.term.isprintable() or not terminal.term:
        raise ConfigError("tty.term: expected a terminal's name such as xterm")
