"""A VM of a lab by itself: its ports and its commands, its NICs, its life on a host."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fakevm.clients.parts import PLACE
from fakevm.errors import ConflictError, FakevmError, NotFoundError
from fakevm.lab import WAIT_S
from fakevm.library.behind.words import Addressing
from fakevm.library.handle import Handle
from fakevm.neutron.values import Port

if TYPE_CHECKING:
    from pathlib import Path

    from fakevm.capture.run import Capture
    from fakevm.capture.sinks import Sink
    from fakevm.inventory.rows import Row
    from fakevm.vms.attach import DetachedPort
    from fakevm.vms.requests import HostResult


@dataclass(frozen=True, kw_only=True)
class Completed:
    """What came of a command in a VM."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, kw_only=True)
class Guest(Handle):
    """A VM, with all its NICs."""

    @property
    def ports(self) -> tuple[Port, ...]:
        """Its ports as Neutron has them, the oldest first."""
        found = self.lab.neutron.ports(device_id=self.id)
        if not found:
            raise NotFoundError(f"there is no VM {self.name!r}", hint="fakevm list")
        return tuple(sorted(found, key=lambda port: (port.created_at, port.id)))

    @property
    def port(self) -> Port:
        """Its port as Neutron has it; ConflictError: it has several."""
        found = self.ports
        if len(found) > 1:
            known = ", ".join(port.name or port.id for port in found)
            raise ConflictError(f"VM {self.name} has several ports: {known}", hint="Vm.ports")
        return found[0]

    @property
    def host(self) -> str:
        """Where it is; "": on no host, as when it is shelved."""
        return next((port.host for port in self.ports if port.host), "")

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that Neutron gave it."""
        return tuple(ip.ip_address for port in self.ports for ip in port.fixed_ips)

    def exec(
        self,
        *argv: str,
        check: bool = False,
        stdin: str | None = None,
        timeout_s: float | None = None,
    ) -> Completed:
        """Run a command in it, to its end; `check`: FakevmError, where its exit code is not 0."""
        port = self._placed()
        said: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        agent = self.lab.agent(port.host)
        with agent.execute(port.id, argv, timeout_s=timeout_s, stdin=stdin is not None) as running:
            if stdin is not None:
                running.feed(stdin.encode())
            for stream, piece in running.output():
                said[stream].append(piece)
            exit_code = running.exit_code
        out, err = (b"".join(said[one]).decode(errors="replace") for one in ("stdout", "stderr"))
        done = Completed(argv=argv, exit_code=exit_code, stdout=out, stderr=err)
        if check and exit_code:
            words = "; ".join(filter(None, (err.strip(), out.strip())))
            raise FakevmError(
                f"VM {self.name} on {port.host}: `{shlex.join(argv)}` ended with {exit_code}"
                + (f": {words}" if words else "")
            )
        return done

    def capture(self, *, to: Path | Sink, bpf: str = "", count: int | None = None) -> Capture:
        """Return a capture at its NICs, which is under way in its `with` block.

        `to`: a pcapng file, or what else takes packets.
        """
        refs = [port.id for port in self.ports]
        return self.lab.capture(refs, to=to, bpf=bpf, count=count)

    # Its NICs

    def attach(
        self, port: Port | str, *, addressing: Addressing = "dhcp", timeout_s: float = WAIT_S
    ) -> Row:
        """Give it a port that is not bound, by its value, name or id; return it, plugged."""
        return self.lab.attach(self.name, _ref(port), addressing=addressing, timeout_s=timeout_s)

    def detach(self, port: Port | str, *, timeout_s: float = WAIT_S) -> DetachedPort:
        """Take a port from it; it is unbound if it was given, else deleted."""
        return self.lab.detach(self._own(port).id, timeout_s=timeout_s)

    def plug(self, port: Port | str, *, timeout_s: float = WAIT_S) -> Row:
        """Plug a port of its again on its host; return it."""
        return self.lab.plug(self._own(port).id, timeout_s=timeout_s)

    def unplug(self, port: Port | str) -> HostResult:
        """Unplug a port of its; its binding stays."""
        return self.lab.unplug(self._own(port).id)

    # Its life on a host, or on none

    def reboot(self, *, timeout_s: float = WAIT_S) -> None:
        """Unplug and plug its NICs, as a hard reboot does."""
        self.lab.reboot(self.name, timeout_s=timeout_s)

    def rebuild(self, *, timeout_s: float = WAIT_S) -> None:
        """Build it anew on its host, with the ports that it has."""
        self.lab.rebuild(self.name, timeout_s=timeout_s)

    def pause(self) -> None:
        """Stop it; it keeps all that it has."""
        self.lab.pause(self.name)

    def resume(self) -> None:
        """Let it go on that was paused."""
        self.lab.resume(self.name)

    def shelve(self) -> None:
        """Take it from its host; its ports are unbound, and stay its own."""
        self.lab.shelve(self.name)

    def unshelve(self, on: str | None = None, *, timeout_s: float = WAIT_S) -> None:
        """Boot it that was shelved, on this host or the one with the fewest."""
        self.lab.unshelve(self.name, host=on, timeout_s=timeout_s)

    def _placed(self) -> Port:
        """Return a port of its that has a host."""
        found = self.lab.neutron.ports(device_id=self.id, fields=PLACE)
        if not found:
            raise NotFoundError(f"there is no VM {self.name!r}", hint="fakevm list")
        for port in found:
            if port.host:
                return port
        raise ConflictError(f"VM {self.name} is on no host", hint=f"fakevm unshelve {self.name}")

    def _own(self, wanted: Port | str) -> Port:
        """Return a port of its, by its value, name or id."""
        mine = self.ports
        for port in mine:
            if wanted in (port.id, port.name) or port.id == _ref(wanted):
                return port
        known = ", ".join(port.name or port.id for port in mine)
        raise NotFoundError(f"VM {self.name} has no port {_ref(wanted)!r}, but {known}")


def _ref(port: Port | str) -> str:
    return port if isinstance(port, str) else port.id
