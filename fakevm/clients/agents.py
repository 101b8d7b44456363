"""Requests to the hosts' agents."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from fakevm.clients.rpc import Connection, Output, failure, known, result
from fakevm.errors import ConfigError, FakevmError
from fakevm.model import FixedIp, GuestNic, GuestState, HostInfo, PluggedVif, PluggedVm, Vif, Vm

# Of a command's stdin, what a line has.
_PIECE = 64 * 1024

# How long the word that ends a command may wait for its stdin, of which it may read nothing.
CANCEL_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Plugged:
    """A VIF after a plug, and whether the plug had anything to do."""

    vif: PluggedVif
    changed: bool


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Something that a cleanup removed, or would."""

    kind: str
    name: str
    port_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """The user's terminal."""

    rows: int
    cols: int
    term: str


class Agent(Connection):
    """One host's agent."""

    peer = "the agent"

    def info(self) -> HostInfo:
        """Return what the host says of itself."""
        found = known(HostInfo, self.request("info", {}))
        return HostInfo(**{**found, "outages": tuple(found.get("outages") or ())})

    def vifs(self, port_id: str | None = None) -> list[PluggedVif]:
        """Return what is plugged, all of it or one port's."""
        params = {} if port_id is None else {"port_id": port_id}
        return [plugged_vif(found) for found in self.request("list", params)["vifs"]]

    def vms(self) -> list[PluggedVm]:
        """Return the VMs, and no more of them than their names: of many VMs in no time."""
        return [
            PluggedVm(**{**known(PluggedVm, found), "port_ids": tuple(found["port_ids"])})
            for found in self.request("vms", {})["vms"]
        ]

    def plug(
        self, vif: Vif, vm: Vm, *, paused: bool = False, late_tap: bool = False, nic: str = ""
    ) -> Plugged:
        """Plug a VIF; paused, its NIC stays down and without addresses.

        With `late_tap` its device is made after the OVS port, as an old libvirt does. A VM that
        moves keeps the name of its NIC by `nic`, where that is free.
        """
        params: dict[str, Any] = {"vif": asdict(vif), "vm": asdict(vm)}
        params |= {"paused": True} if paused else {}
        params |= {"late_tap": True} if late_tap else {}
        params |= {"nic": nic} if nic else {}
        answer = self.request("plug", params)
        return Plugged(vif=plugged_vif(answer), changed=answer["changed"])

    def suspend(self, instance_id: str) -> GuestState:
        """Pause a VM: set all its NICs down; return what it had. ConflictError: it is paused."""
        return guest_state(self.request("suspend", {"instance_id": instance_id}))

    def pause(self, instance_id: str) -> None:
        """Stop a VM and its processes; its host keeps what it had for `resume`."""
        self.request("suspend", {"instance_id": instance_id, "keep": True})

    def resume(
        self, instance_id: str, state: GuestState | None = None, *, rarp: bool = True
    ) -> float:
        """Let a paused VM go on: with this, with what its host kept, or as it boots.

        Returns when its last NIC was up; now, where it runs already. RARP frames tell the network
        where it is, as QEMU sends them after a migration.
        """
        params = {"instance_id": instance_id, "state": state and asdict(state), "rarp": rarp}
        return float(self.request("resume", params)["time"])

    def configure(self, port_id: str, *, timeout_s: float) -> tuple[str, ...]:
        """Start the NIC's clients, wait for the addresses that Neutron gave, return all it has."""
        params = {"port_id": port_id, "timeout_s": timeout_s}
        answer = self.request("configure", params, timeout_s=timeout_s + self.timeout_s)
        return tuple(answer["addresses"])

    def unplug(self, port_id: str) -> bool:
        """Unplug a port; return whether it was there."""
        return bool(self.request("unplug", {"port_id": port_id})["changed"])

    def left_over(self, keep: Collection[str]) -> list[Removed]:
        """Return what the host has of other ports than these."""
        params = {"keep": sorted(keep), "dry_run": True}
        return [Removed(**found) for found in self.request("cleanup", params)["removed"]]

    def clean_up(self, keep: Collection[str], *, only: Collection[str]) -> list[Removed]:
        """Remove what the host has of these ports alone, and what no port has."""
        params = {"keep": sorted(keep), "only": sorted(only), "dry_run": False}
        return [Removed(**found) for found in self.request("cleanup", params)["removed"]]

    def execute(
        self,
        port_id: str,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        terminal: Terminal | None = None,
        stdin: bool = False,
    ) -> Execution:
        """Start a command in the VM that has a port."""
        params = {
            "port_id": port_id,
            "tty": asdict(terminal) if terminal else None,
            "stdin": stdin,
        }
        return Execution(self, "exec", params, argv, timeout_s)

    def execute_each(
        self, instance_ids: Sequence[str], argv: Sequence[str], *, timeout_s: float | None = None
    ) -> Executions:
        """Start a command in several VMs, in each once, without stdin."""
        params = {"instance_ids": list(instance_ids)}
        return Executions(self, "exec_each", params, argv, timeout_s)


class _UnderWay:
    """A request for commands in VMs. Leaving the `with` block ends those that still run."""

    def __init__(
        self,
        agent: Connection,
        method: str,
        params: Mapping[str, Any],
        argv: Sequence[str],
        timeout_s: float | None,
    ) -> None:
        # A string is a sequence of strings, too: its letters.
        if isinstance(argv, str):
            raise ConfigError(
                f"a command is given as its words, not as the string {argv!r}",
                hint=f"shlex.split({argv!r})",
            )
        self._agent = agent
        # When the agent ends it, by the monotonic clock; None: never.
        self._ends = None if timeout_s is None else time.monotonic() + timeout_s
        self._id, self._answers = agent.start(
            method, {**params, "argv": list(argv), "timeout_s": timeout_s}
        )
        self._running = True
        self.answer: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._running:
            with suppress(FakevmError):
                self.cancel()
        self._agent.forget(self._id)

    def pieces(self) -> Iterator[Output]:
        """Yield what is said, as it comes, to the end; then there is the `answer`.

        UnavailableError: the agent tells nothing more, though it should have ended all.
        """
        while True:
            left = None if self._ends is None else max(0.0, self._ends - time.monotonic())
            patience = None if left is None else left + self._agent.timeout_s
            item = self._agent.next_of(self._answers, timeout_s=patience)
            if item[0] == "output":
                yield item[1]
                continue
            self._running = False
            self.answer = result(item)
            return

    def cancel(self) -> None:
        """End the commands and their children."""
        self._agent.notify("exec.cancel", {"id": self._id}, within_s=CANCEL_S)


class Execution(_UnderWay):
    """A command that runs in a VM. Leaving the `with` block ends it if it still runs."""

    @property
    def exit_code(self) -> int:
        """The exit code, when the output is read to its end; -1 before."""
        return int(self.answer.get("exit_code", -1))

    def output(self) -> Iterator[tuple[Literal["stdout", "stderr"], bytes]]:
        """Yield what the command says, as it comes, to its end; then `exit_code` is known.

        UnavailableError: the agent tells nothing more, though it should have ended the command.
        """
        for piece in self.pieces():
            yield piece.stream, piece.data

    def send(self, data: bytes) -> None:
        """Write to the command's stdin; b"" closes it. Waits while it reads nothing."""
        # The agent bounds its lines, and what others ask goes between them.
        for start in range(0, len(data) or 1, _PIECE):
            encoded = base64.b64encode(data[start : start + _PIECE]).decode()
            self._agent.notify("exec.stdin", {"id": self._id, "data": encoded})

    def feed(self, data: bytes) -> None:
        """Write all that there is to the command's stdin and close it, in the background.

        So that its output is read meanwhile, without which it may read no more.
        """

        def write() -> None:
            # The command may have ended, or the host with it: that is told with its output.
            with suppress(FakevmError):
                if data:
                    self.send(data)
                self.send(b"")

        threading.Thread(target=write, name="stdin", daemon=True).start()

    def resize(self, rows: int, cols: int) -> None:
        """Tell the command the terminal's new size."""
        self._agent.notify("exec.resize", {"id": self._id, "rows": rows, "cols": cols})


class Executions(_UnderWay):
    """A command that runs in several VMs. Leaving the `with` block ends it where it still runs."""

    @property
    def ends(self) -> dict[str, int | FakevmError]:
        """Its exit code by VM, when the pieces are read to their end; empty before.

        An error is of a VM that is gone, or that the command did not end in within its time.
        """
        return {
            instance_id: failure(self._agent.host, end["error"])
            if "error" in end
            else int(end["exit_code"])
            for instance_id, end in self.answer.get("ends", {}).items()
        }


def plugged_vif(found: Mapping[str, Any]) -> PluggedVif:
    """Return the value of an agent's JSON object."""
    values = known(PluggedVif, found)
    values["addresses"] = tuple(values.get("addresses") or ())
    values["fixed_ips"] = tuple(
        FixedIp(**known(FixedIp, ip)) for ip in values.get("fixed_ips") or ()
    )
    return PluggedVif(**values)


def guest_state(found: Mapping[str, Any]) -> GuestState:
    """Return the value of an agent's JSON object."""
    values = known(GuestState, found)
    values |= {name: tuple(told) for name, told in values.items() if isinstance(told, list)}
    values["nics"] = tuple(GuestNic(**known(GuestNic, nic)) for nic in values["nics"])
    values["processes"] = {int(pid): command for pid, command in values["processes"].items()}
    return GuestState(**values)
