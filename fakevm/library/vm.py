"""A VM of a lab: what is done in it, and with it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Unpack

from fakevm.clients.parts import PLACE
from fakevm.contents.naming import is_ours
from fakevm.contents.part import Part
from fakevm.errors import ConfigError, ConflictError, FakevmError, NotFoundError
from fakevm.lab import FILE_S, WAIT_S, Lab
from fakevm.library import reach
from fakevm.library.floating_ip import FloatingIp
from fakevm.library.handle import Handle
from fakevm.library.making import Making
from fakevm.library.words import EachNicWords, NetworkLike, NicWords
from fakevm.migrate.request import MigrationRequest
from fakevm.neutron.values import Port
from fakevm.reports.migration import MigrationReport, MoveKind
from fakevm.vms import placement, vifs

# Between two pings of `Vm.ping`, and how long each answer may take: a path that has just changed
# stands still for a moment.
_INTERVAL_S = 0.1
_PATIENCE_S = 5

_RECEIVED = re.compile(r"(\d+) packets transmitted, (\d+) received")


@dataclass(frozen=True, kw_only=True)
class Completed:
    """What came of a command in a VM."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, kw_only=True)
class Vm(Handle):
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
                if stdin:
                    running.send(stdin.encode())
                # Its end.
                running.send(b"")
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

    def ping(
        self, target: Vm | FloatingIp, *, count: int = 3, within_s: float = reach.WITHIN_S
    ) -> None:
        """Ping another VM: wait for the first answer, then expect one to each of `count`.

        UnreachedError, with how many were answered. By which NIC: on a network of both, IPv4 first.
        """
        __tracebackhide__ = True
        source, there = self._ends(target)
        reach.reaches(self.lab, source, there, "icmp", None, within_s=within_s)
        argv = ("ping", "-n", "-i", f"{_INTERVAL_S:g}", "-c", f"{count}", "-W", f"{_PATIENCE_S}")
        said = self.exec(*argv, there.address)
        counts = _RECEIVED.search(said.stdout)
        sent, received = map(int, counts.groups()) if counts else (count, 0)
        if received < count:
            raise reach.unanswered(self.lab, source, there, sent, received)

    def assert_reaches(
        self,
        target: Vm | FloatingIp,
        *,
        port: int | None = None,
        protocol: reach.Protocol = "tcp",
        within_s: float = reach.WITHIN_S,
    ) -> None:
        """Wait until another VM is reached on a port, or without one by ping; else UnreachedError.

        Something listens there meanwhile, if nothing of the VM's own does.
        """
        __tracebackhide__ = True
        how = reach.check(protocol, port)
        reach.reaches(self.lab, *self._ends(target), how, port, within_s=within_s)

    def assert_cannot_reach(
        self,
        target: Vm | FloatingIp,
        *,
        port: int | None = None,
        protocol: reach.Protocol = "tcp",
        within_s: float = reach.WITHIN_S,
    ) -> None:
        """Wait until nothing reaches another VM, three times in a row; else UnreachedError."""
        __tracebackhide__ = True
        how = reach.check(protocol, port)
        reach.cannot_reach(self.lab, *self._ends(target), how, port, within_s=within_s)

    def migrate(
        self,
        destination: str,
        *,
        kind: MoveKind = "live",
        probe: Sequence[Vm] = (),
        rate: float = 100.0,
        timeout_s: float = WAIT_S,
    ) -> MigrationReport:
        """Move it to another host; return what was seen, with the losses that `probe` measured.

        rate: of each flow, in packets a second. `Lab.migrate` has all other wishes.
        """
        mine = self.ports
        # By their ports, since a VM's name may also be the beginning of one's UUID.
        probers = {self._nearest(one, mine).id: one.name for one in probe}
        request = MigrationRequest(
            destination=destination,
            kind=kind,
            probes=[*probers],
            rate=rate,
            timeout_s=timeout_s,
        )
        report = self.lab.migrate(mine[0].id, request)
        flows = [replace(flow, peer=probers.get(flow.peer, flow.peer)) for flow in report.flows]
        return replace(report, flows=tuple(flows))

    def reboot(self) -> None:
        """Unplug and plug its NICs, as a hard reboot does."""
        self.lab.reboot(self.name)

    def pause(self) -> None:
        """Stop it; it keeps all that it has."""
        self.lab.pause(self.name)

    def resume(self) -> None:
        """Let it go on that was paused."""
        self.lab.resume(self.name)

    def delete(self) -> None:
        """Delete it as Nova does; content if it is gone.

        A port that it was given is deleted, too, if the library or a file made it.
        """
        with suppress(NotFoundError):
            part = Part(self.lab)
            left = {
                row["id"]
                for row in part.rows("ports", id=self.lab.delete_vm(self.id))
                if is_ours(row)
            }
            # A trunk keeps its port.
            left -= {row["port_id"] for row in part.rows("trunks", port_id=left)}
            for port_id in left:
                self.lab.neutron.delete_port(port_id)

    @staticmethod
    def _nearest(prober: Vm, ports: Sequence[Port]) -> Port:
        """Return a port of a VM that probes: on a network of these ports, if it has one there."""
        networks = {port.network_id for port in ports}
        return min(prober.ports, key=lambda port: port.network_id not in networks)

    def _placed(self) -> Port:
        """Return a port of its that has a host."""
        found = self.lab.neutron.ports(device_id=self.id, fields=PLACE)
        if not found:
            raise NotFoundError(f"there is no VM {self.name!r}", hint="fakevm list")
        for port in found:
            if port.host:
                return port
        raise ConflictError(f"VM {self.name} is on no host", hint=f"fakevm unshelve {self.name}")

    def _ends(self, target: Vm | FloatingIp) -> tuple[reach.End, reach.End]:
        if isinstance(target, FloatingIp):
            mine = self._placed()
            return reach.End(name=self.name, host=mine.host, port_id=mine.id), target.end
        if target == self:
            raise ConfigError(f"VM {self.name} reaches itself without a network")
        return reach.ends(self.name, self.ports, target.name, target.ports)


def make(
    lab: Lab,
    name: str,
    *,
    on: str | None,
    networks: Sequence[NetworkLike],
    nics: Sequence[NetworkLike | NicWords],
    timeout_s: float = FILE_S,
    **each: Unpack[EachNicWords],
) -> Vm:
    """Let a lab have a VM, with a NIC on each of these networks, or with these NICs."""
    vm = vifs.vm_of(name)
    if not (networks or nics):
        raise ConfigError(f"VM {name!r}: one of `networks` or `nics` at least is expected")
    making = Making(lab, "vm", name)
    said: list[dict[str, Any]] = []
    for nic in (*networks, *nics):
        words = {**each, **(nic if isinstance(nic, dict) else {"network": nic})}
        said.append(making.port(words))
    if not making.part.vm(vm.instance_id) and on is None:
        # Decided here: a part of a lab does not tell how many VMs each host has.
        on, _ = placement.host_for(lab, vm, None)
    making.make({"host": on, "nics": said}, timeout_s=timeout_s)
    return Vm(lab=lab, name=name, id=vm.instance_id)
