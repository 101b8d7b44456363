"""A VM of a lab among others: whom it reaches, and where it goes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

from fakevm.contents.part import Part
from fakevm.errors import ConfigError, NotFoundError
from fakevm.inventory import vifs
from fakevm.lab import FILE_S, WAIT_S, Lab
from fakevm.library import reach
from fakevm.library.behind.making import Making
from fakevm.library.behind.words import EachNicWords, NetworkLike, NicWords
from fakevm.library.floating_ip import FloatingIp
from fakevm.library.guest import Guest
from fakevm.migrate.request import MigrationRequest
from fakevm.neutron.values import Port
from fakevm.protocol.steps import Faults
from fakevm.reports.migration import MigrationReport, MoveKind
from fakevm.stock.naming import is_ours
from fakevm.vms import placement

if TYPE_CHECKING:
    from fakevm.trace.values import Trace

# Between two pings of `Vm.ping`, and how long each answer may take: a path that has just changed
# stands still for a moment.
_INTERVAL_S = 0.1
_PATIENCE_S = 5

_RECEIVED = re.compile(r"(\d+) packets transmitted, (\d+) received")


@dataclass(frozen=True, kw_only=True)
class Vm(Guest):
    """A VM among others."""

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
        post_copy: bool = False,
        confirm: bool = True,
        force: bool = False,
        probe: Sequence[Vm] = (),
        rate: float = 100.0,
        delays: Mapping[str, float] | None = None,
        fail_at: str | None = None,
        timeout_s: float = WAIT_S,
    ) -> MigrationReport:
        """Move it to another host; return what was seen, with the losses that `probe` measured.

        confirm: a cold one at once; force: evacuate although its host is up; rate: of each flow,
        in packets a second; delays: seconds before steps. `Lab.migrate` has all other wishes.
        """
        request = MigrationRequest(
            destination=destination,
            kind=kind,
            post_copy=post_copy,
            confirm=confirm,
            force=force,
            faults=Faults(delays=delays or {}, fail_at=fail_at),
            rate=rate,
            timeout_s=timeout_s,
        )
        return self._move(request, probe)

    def confirm_migration(self) -> str:
        """Confirm a cold migration that was not; return the host that it came from."""
        return self.lab.confirm_migration(self.ports[0].id)

    def revert_migration(
        self, *, probe: Sequence[Vm] = (), rate: float = 100.0, timeout_s: float = WAIT_S
    ) -> MigrationReport:
        """Bring it back after a cold migration that was not confirmed."""
        request = MigrationRequest(destination="", kind="revert", rate=rate, timeout_s=timeout_s)
        return self._move(request, probe)

    def abort_migration(self) -> list[str]:
        """Clean up after a migration whose process was killed; return what was done, in words."""
        return self.lab.abort_migration(self.ports[0].id)

    def _move(self, request: MigrationRequest, probe: Sequence[Vm]) -> MigrationReport:
        mine = self.ports
        # By their ports, since a VM's name may also be a port's.
        probers = {self._nearest(one, mine).id: one.name for one in probe}
        report = self.lab.migrate(mine[0].id, replace(request, probes=[*probers]))
        flows = [replace(flow, peer=probers.get(flow.peer, flow.peer)) for flow in report.flows]
        return replace(report, flows=tuple(flows))

    def trace(
        self,
        target: Vm,
        *,
        port: int | None = None,
        protocol: reach.Protocol = "tcp",
        live: bool = False,
    ) -> Trace:
        """Return where a packet to another VM goes, and what drops it; without a port a ping's.

        live: some are sent, and counted on the way.
        """
        how = reach.check(protocol, port)
        source, there = self._ends(target)
        return self.lab.trace(source.port_id, there.port_id, protocol=how, port=port, live=live)

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
