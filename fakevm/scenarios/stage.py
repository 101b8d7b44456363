"""Where a scenario plays: two hosts, networks and VMs of its own, and nothing of it stays."""

from __future__ import annotations

import re
import shlex
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from types import TracebackType
from typing import Any, Self

from fakevm.clients import process
from fakevm.clients.agents import Execution
from fakevm.errors import (
    ConflictError,
    FakevmError,
    NotFoundError,
    UnavailableError,
    WaitTimeoutError,
    for_each,
)
from fakevm.inventory.addresses import Addressing
from fakevm.lab import Lab
from fakevm.migrate.request import MigrationRequest
from fakevm.neutron.api import Neutron
from fakevm.neutron.values import HttpRequest, Network, Port
from fakevm.protocol.interrupt import deferred
from fakevm.reports.migration import FlowReport, MigrationReport
from fakevm.vms.requests import AS_NOVA, Plugging, PortRequest

# TEST-NET-1, 2 and 3 (RFC 5737).
CIDRS = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")

# How long a port may take to be ACTIVE: a sound Neutron takes a second or two.
ACTIVE_S = 20.0

# Some rounds of an L2 agent's loop.
SETTLE_S = 5.0

# How often something is looked at that is waited for.
INTERVAL_S = 0.1

# How long a request may take whose answer is the point.
ANSWER_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a request to Neutron; no status: it was not answered in time."""

    status: int | None
    seconds: float

    @property
    def accepted(self) -> bool:
        """Whether Neutron did as it was asked."""
        return self.status is not None and self.status < 400

    def __str__(self) -> str:
        return f"nothing within {self.seconds:.0f} s" if self.status is None else str(self.status)


class Stage:
    """What a scenario uses of a lab. Use it in a `with` block: leaving it removes all it made."""

    def __init__(
        self, lab: Lab, name: str, *, timeout_s: float, say: Callable[[str], None]
    ) -> None:
        self.lab = lab
        self.say = say
        # How long something may take that is expected to come.
        self.timeout_s = timeout_s
        # Unique, so that it may run twice at once.
        self._prefix = f"scenario-{name}-{uuid.uuid4().hex[:6]}"
        self._networks = 0
        # In the order in which it was made; the last is removed first.
        self._removals: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        with deferred():
            self.say("cleaning up")
            try:
                for_each(self._removals[::-1], lambda remove: remove())
            except FakevmError as failure:
                if error is None:
                    raise
                error.add_note(f"and not all was removed of {self._prefix}: {failure}")

    @cached_property
    def hosts(self) -> tuple[str, str]:
        """Two compute hosts that run."""
        running = [one.service for one in self.lab.computes if one.running]
        if len(running) < 2:
            raise ConflictError(
                f"two compute hosts are needed; {', '.join(running) or 'none'} runs",
                hint="fakevm up --computes 2",
            )
        return running[0], running[1]

    @property
    def neutron(self) -> Neutron:
        """The lab's Neutron."""
        return self.lab.neutron

    def network(self, subnet: Mapping[str, Any] | None = None, /, **attributes: Any) -> Network:
        """Make a network with a subnet; if none is given, with an IPv4 one without DHCP."""
        cidr = CIDRS[self._networks]
        self._networks += 1
        name = f"{self._prefix}-{self._networks}"
        quiet = {"cidr": cidr, "ip_version": 4, "gateway_ip": None, "enable_dhcp": False}
        wanted = subnet or quiet
        self.say(f"network {name}, {wanted['cidr']}")
        # Were it cut off, nobody would know what to remove.
        with deferred():
            made = self.neutron.create_network({"name": name, **attributes})
            self._removals.append(partial(self._clear, made.id))
        self.neutron.create_subnet({"network_id": made.id, **wanted})
        return self.neutron.network(made.id)

    def make(self, kind: str, **attributes: Any) -> Mapping[str, Any]:
        """Make something of another kind, a "router" for example, and return it as Neutron has it.

        Make it after what it is to be removed before.
        """
        path = f"/{kind.replace('_', '-')}s"
        body = {kind: {"name": f"{self._prefix}-{kind}", **attributes}}
        self.say(f"{kind.replace('_', ' ')} {body[kind]['name']}")
        with deferred():
            made: Mapping[str, Any] = self.neutron.write("POST", path, body)[kind]
            self._removals.append(partial(self._delete, f"{path}/{made['id']}"))
        return made

    def vm(
        self,
        network: Network,
        name: str,
        host: str,
        *,
        group: str = "",
        addressing: Addressing = "static",
        plugging: Plugging = AS_NOVA,
    ) -> Port:
        """Boot a VM, or give another NIC to one; return its port.

        It has one security group; if none is given, anybody may talk to it.
        """
        self.say(f"VM {name} on {host}")
        request = PortRequest(
            network=network.id,
            instance=f"{self._prefix}-{name}",
            host=host,
            name=f"{name}-{self._prefix[-6:]}",
            security_groups=(group,) if group else (),
            port_security=bool(group),
            addressing=addressing,
        )
        made = self.lab.create_port(request, plugging=plugging, timeout_s=self.timeout_s)
        return self.neutron.port(made.row.port_id)

    def settle(self) -> None:
        """Let the L2 agents finish what they still do after a boot, so that it is not in the way.

        They look at each of a port's updates anew, and Neutron has no word for the last one.
        """
        self.say(f"waiting {SETTLE_S:g} s for the L2 agents to settle")
        time.sleep(SETTLE_S)

    def migrate(
        self,
        port: Port,
        request: MigrationRequest,
        *,
        may_fail: Sequence[str] = (),
        on_request: Callable[[HttpRequest], None] = lambda _request: None,
    ) -> MigrationReport:
        """Migrate a VM and return what was seen, also if one of these steps failed."""
        self.say(f"live migration to {request.destination}")
        reports: list[MigrationReport] = []
        try:
            return self.lab.migrate(
                port.id, request, on_request=on_request, on_report=reports.append
            )
        except FakevmError as error:
            failed = {
                step.name for one in reports for step in one.steps if step.outcome == "failed"
            }
            if not failed or not failed.issubset(may_fail):
                raise
            self.say(str(error))
        return reports[0]

    def ask(self, call: Callable[[Neutron], object], *, timeout_s: float = ANSWER_S) -> Answer:
        """Send one request to Neutron and return what became of it, whatever it says."""
        seen: list[HttpRequest] = []
        start = time.monotonic()
        try:
            call(self.neutron.traced(seen.append, timeout_s=timeout_s))
        except UnavailableError:
            if time.monotonic() - start < timeout_s:
                raise
        except FakevmError:
            # As its status says; but what was not even sent is no answer.
            if not seen:
                raise
        seconds = round(time.monotonic() - start, 1)
        if not seen:
            self.say(f"no answer within {seconds:g} s")
            return Answer(status=None, seconds=seconds)
        (request,) = seen
        self.say(f"{request.method} {request.path} {request.body} → {request.status}")
        return Answer(status=request.status, seconds=seconds)

    def in_vm(self, port: Port, *argv: str) -> None:
        """Run a program in a port's VM to its end; FakevmError if it fails."""
        exit_code, said = self.tried_in_vm(port, *argv)
        if exit_code:
            raise FakevmError(f"`{shlex.join(argv)}` failed in VM {port.device_id}: {said}")

    def tried_in_vm(self, port: Port, *argv: str) -> tuple[int | None, str]:
        """Run a program in a port's VM to its end; return its exit code and what it said."""
        with self.lab.execute(port.id, argv, timeout_s=self.timeout_s) as execution:
            said = b"".join(data for _, data in execution.output()).decode(errors="replace")
        return execution.exit_code, said.strip()

    def answered_after(self, port: Port, address: str, *, within_s: float) -> float | None:
        """Return after how long an address answered a port's VM, by ping; None: not in time."""
        ping = ("ping", "-n", "-c", "1", "-W", "1", address)
        return self.seconds_until(lambda: self.tried_in_vm(port, *ping)[0] == 0, within_s=within_s)

    @contextmanager
    def running(self, port: Port, *argv: str, host: str = "") -> Iterator[list[str]]:
        """Run a program in a port's VM as long as the block lasts; give the lines it prints.

        On another host it starts as soon as the port is plugged there.
        """
        agent = self.lab.agent(host or port.host)
        lines: list[str] = []
        executions: list[Execution] = []
        over = threading.Event()

        def run() -> None:
            # What goes wrong is seen by the lines that are missing.
            with suppress(FakevmError):
                while not agent.vifs(port.id):
                    if over.wait(INTERVAL_S):
                        return
                with agent.execute(port.id, argv) as execution:
                    executions.append(execution)
                    if over.is_set():
                        return
                    rest = ""
                    for _, data in execution.output():
                        *whole, rest = (rest + data.decode(errors="replace")).split("\n")
                        lines.extend(whole)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield lines
        finally:
            over.set()
            for execution in executions:
                with suppress(FakevmError):
                    execution.cancel()
            thread.join(self.timeout_s)

    def in_service(self, service: str, *argv: str) -> str:
        """Run a program in the container of a service or a host; return its output, stripped."""
        return self._in_container(self.lab.service(service).name, *argv).strip()

    def restart_l2_agent(self, host: str, vm: Port) -> None:
        """Start a host's L2 agent of ML2/OVS anew, and wait until it is done with its VMs.

        It ends with deleting the flows of its former life. 29.0.0's does so as soon as there is
        something else to do: then another name is given to one of its VMs' ports.
        """
        self.say(f"restarting the L2 agent of {host}")
        former = self.cookies(host)
        self.lab.restart([host], only="l2-agent")

        def is_done() -> bool:
            return former.isdisjoint(self.cookies(host))

        if self.seconds_until(is_done, within_s=SETTLE_S) is None:
            self.neutron.update_port(vm.id, {"name": f"{vm.name}-again"})
            if self.seconds_until(is_done) is None:
                raise WaitTimeoutError(
                    f"the L2 agent of {host} is not done with its VMs {self.timeout_s:g} s after"
                    " its start"
                )
        self.settle()

    @contextmanager
    def halted(self, host: str, program: str = "") -> Iterator[None]:
        """Let a host's program stand still as long as the block lasts.

        If none is named, who wires its VIFs, its L2 agent.
        """
        name = program or self.lab.backend.l2_agent_binaries[0]
        # The kernel cuts a process' name to 15 characters.
        by_name = ("-x", name[:15])
        self.say(f"{name} of {host} stands still")
        with ExitStack() as undo:
            with deferred():
                undo.callback(self.in_service, host, "pkill", "-CONT", *by_name)
                self.in_service(host, "pkill", "-STOP", *by_name)
            yield
        self.say(f"{name} of {host} goes on")

    @contextmanager
    def paused(self, service: str) -> Iterator[None]:
        """Let the workers of a service stand still as long as the block lasts."""
        container = self.lab.service(service).name
        self.say(f"{service} stands still")
        with ExitStack() as undo:
            with deferred():
                undo.callback(self._signal_all, container, "CONT")
                self._signal_all(container, "STOP")
            yield
        self.say(f"{service} goes on")

    def active_after(self, port: Port) -> float | None:
        """Return after how long a port was ACTIVE; None: not in the time that that may take."""
        return self.seconds_until(
            lambda: self.neutron.port(port.id).status == "ACTIVE", within_s=ACTIVE_S
        )

    def active_after_admin_state(self, port: Port) -> float | None:
        """Set a port administratively down and up again; return after how long it was ACTIVE."""
        self.say("admin_state_up false, and true")
        self.neutron.update_port(port.id, {"admin_state_up": False})
        self.neutron.update_port(port.id, {"admin_state_up": True})
        return self.active_after(port)

    def seconds_until(
        self, seen: Callable[[], object], *, within_s: float | None = None
    ) -> float | None:
        """Wait for something to be seen; return how long it took, None: not within the timeout."""
        start = time.monotonic()
        limit = self.timeout_s if within_s is None else min(within_s, self.timeout_s)
        while not seen():
            if time.monotonic() - start > limit:
                return None
            time.sleep(INTERVAL_S)
        return round(time.monotonic() - start, 1)

    def cookies(self, host: str) -> set[str]:
        """Return the cookies of a host's tunnel flows; an L2 agent has one of its own each life."""
        flows = self.in_service(host, "ovs-ofctl", "dump-flows", "br-tun")
        return set(re.findall(r"cookie=(\w+)", flows))

    def _signal_all(self, container: str, name: str) -> None:
        """Send a signal to every process of a container but its first, the workers' master.

        `docker pause` fails the container's health check, and it is unhealthy for a while after.
        """
        with deferred():
            self._in_container(container, "sh", "-c", f"kill -{name} -1")

    def _in_container(self, container: str, *argv: str) -> str:
        return process.run(("docker", "exec", container, *argv), timeout_s=self.timeout_s)

    def _clear(self, network_id: str) -> None:
        """Remove a network with all that is on it."""
        ports = self.neutron.ports(network_id=network_id)
        for_each(
            [port.id for port in ports if not port.device_owner.startswith("network:")],
            self._remove,
        )
        self.neutron.delete_network(network_id)

    def _delete(self, path: str) -> None:
        with suppress(NotFoundError):
            self.neutron.write("DELETE", path)

    def _remove(self, port_id: str) -> None:
        for_each(self.hosts, lambda host: self.lab.agent(host).unplug(port_id))
        self.neutron.delete_port(port_id)


def flow_name(flow: FlowReport, peer: str) -> str:
    """Return what is sent from whom to whom, as a key of what was measured."""
    here, there = (peer, "vm") if flow.direction == "to-vm" else ("vm", peer)
    return f"{flow.kind} {here} → {there}"
