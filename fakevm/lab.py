"""A running lab: what the command line, the tests and a user's script all call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fakevm import contents, inventory, labs, lazy, lifecycle, migrate, outages, recipe, vms
from fakevm.errors import FakevmError, attempt_each
from fakevm.looks import Looks
from fakevm.protocol.clock import Clock
from fakevm.vms.requests import AS_NOVA, HostResult

if TYPE_CHECKING:
    from fakevm.clients.agents import Execution, Terminal
    from fakevm.contents.converge import Converged
    from fakevm.inventory.addresses import Addressing
    from fakevm.inventory.rows import Row
    from fakevm.inventory.several import Result
    from fakevm.labs.restart import Restarted
    from fakevm.lifecycle.run import Lifecycle
    from fakevm.migrate.look import Look
    from fakevm.migrate.request import MigrationRequest
    from fakevm.neutron.values import HttpRequest
    from fakevm.outages.verbs import Outages
    from fakevm.reports.migration import MigrationReport
    from fakevm.stock.raw import Raw
    from fakevm.stock.things import Ref, Thing
    from fakevm.vms.attach import DetachedPort
    from fakevm.vms.cleanup import Leftover
    from fakevm.vms.ports import CreatedPort
    from fakevm.vms.requests import Plugging, PortRequest

# How long a port may take to become ACTIVE, and a VM to get its addresses.
WAIT_S = 60.0

# How long Neutron's processes may take to be well again.
RESTART_S = 120.0

# How long a VM of a lab file may take: it waits for what Neutron does for all others, too.
FILE_S = 300.0


class Lab(Looks):
    """What can be done in a lab. Use it in a `with` block, or close it.

    What a verb does is imported with it: to import all of it takes longer than most of them.
    """

    # Ports

    def create_port(
        self,
        request: PortRequest,
        *,
        plugging: Plugging = AS_NOVA,
        timeout_s: float = WAIT_S,
    ) -> CreatedPort:
        """Create a port for a VM, plug it, wait until it is ACTIVE and the VM has its addresses.

        The first port boots the VM, another one is attached. A failure on the way, or Ctrl-C,
        removes what was made.
        """
        start = time.monotonic()
        self.neutron.connect()
        clock = Clock(self.neutron, start=start)
        # Imported, and connected to, while Neutron answers.
        lazy.in_advance("fakevm.vms.ports")
        self.call()
        network = self.neutron.network(request.network)
        return vms.ports.create(
            self, request, network, plugging=plugging, timeout_s=timeout_s, clock=clock
        )

    def delete_ports(self, refs: Sequence[str]) -> tuple[list[str], list[FakevmError]]:
        """Delete ports; return the ids of those that are, and the others' errors."""
        _ = self.neutron
        return attempt_each(refs, self.delete_port)

    def delete_port(self, ref: str) -> str:
        """Unplug a port on its host and delete it; return its id.

        Content if the host is gone, or has it no more.
        """
        return vms.removal.delete_port(self, ref, wait_s=WAIT_S)

    def plug(
        self,
        ref: str,
        *,
        host: str | None = None,
        addressing: Addressing | None = None,
        plugging: Plugging = AS_NOVA,
        timeout_s: float = WAIT_S,
    ) -> Row:
        """Plug a port on its host; one that is not bound yet is bound first, and its VM boots.

        What is plugged already comes by its addresses as before, if nothing else is asked for.
        """
        port = self.find(ref)
        self.check_is_a_vms(port)
        return vms.ports.plug(
            self,
            port,
            host=host,
            addressing=addressing,
            plugging=plugging,
            timeout_s=timeout_s,
        )

    def attach(
        self,
        instance: str,
        ref: str,
        *,
        host: str | None = None,
        addressing: Addressing = "dhcp",
        plugging: Plugging = AS_NOVA,
        timeout_s: float = WAIT_S,
    ) -> Row:
        """Give a port that is not bound to a VM, which goes on running, or boots with it."""
        port = self.find(ref)
        self.check_is_a_vms(port)
        return vms.attach.attach(
            self,
            port,
            instance,
            host=host,
            addressing=addressing,
            plugging=plugging,
            timeout_s=timeout_s,
        )

    def detach(self, ref: str, *, timeout_s: float = WAIT_S) -> DetachedPort:
        """Take a port from its VM, which goes on running: it is unbound if given, else deleted."""
        port = self.find(ref)
        self.check_is_a_vms(port)
        return vms.attach.detach(self, port, timeout_s=timeout_s)

    def unplug(self, ref: str, *, host: str | None = None) -> HostResult:
        """Unplug a port on one host; its binding stays."""
        return vms.removal.unplug(self, ref, host=host)

    def unplug_all_hosts(self, ref: str) -> list[HostResult]:
        """Unplug a port on every host, all at once."""
        return vms.removal.unplug_all_hosts(self, ref)

    # VMs

    def delete_vms(self, instances: Sequence[str]) -> tuple[list[str], list[FakevmError]]:
        """Delete VMs; return the ids of the ports of those that are, and the others' errors."""
        _ = self.neutron
        deleted, failures = attempt_each(instances, self.delete_vm)
        return [port_id for ports in deleted for port_id in ports], failures

    def delete_vm(self, instance: str) -> list[str]:
        """Delete a VM: unplug its NICs, unbind the ports it was given, delete the others.

        One of which nobody can tell is unbound, too. Return the ports' ids.
        """
        return lifecycle.delete.delete_vm(self, instance, wait_s=WAIT_S)

    def reboot(
        self, instance: str, *, plugging: Plugging = AS_NOVA, timeout_s: float = WAIT_S
    ) -> list[Row]:
        """Unplug and plug a VM's NICs, as a hard reboot does; return its ports."""
        return self._lifecycle(instance, plugging, timeout_s).reboot()

    def rebuild(
        self, instance: str, *, plugging: Plugging = AS_NOVA, timeout_s: float = WAIT_S
    ) -> list[Row]:
        """Build a VM anew on its host; return its ports."""
        return self._lifecycle(instance, plugging, timeout_s).rebuild()

    def shelve(
        self, instance: str, *, plugging: Plugging = AS_NOVA, timeout_s: float = WAIT_S
    ) -> list[Row]:
        """Take a VM from its host until it is unshelved; return its ports."""
        return self._lifecycle(instance, plugging, timeout_s).shelve()

    def unshelve(
        self,
        instance: str,
        *,
        host: str | None = None,
        plugging: Plugging = AS_NOVA,
        timeout_s: float = WAIT_S,
    ) -> list[Row]:
        """Boot a VM that was shelved, on this host or the one with the fewest; return its ports."""
        return self._lifecycle(instance, plugging, timeout_s).unshelve(host)

    def pause(self, instance: str, *, timeout_s: float = WAIT_S) -> list[Row]:
        """Stop a VM, which keeps all that it has; return its ports. Neutron hears nothing of it."""
        return self._lifecycle(instance, AS_NOVA, timeout_s).pause()

    def resume(self, instance: str, *, timeout_s: float = WAIT_S) -> list[Row]:
        """Let a VM go on that was paused; return its ports."""
        return self._lifecycle(instance, AS_NOVA, timeout_s).resume()

    def _lifecycle(self, instance: str, plugging: Plugging, timeout_s: float) -> Lifecycle:
        return lifecycle.run.Lifecycle(self, instance, plugging=plugging, timeout_s=timeout_s)

    def execute(
        self,
        ref: str,
        argv: Sequence[str],
        *,
        host: str | None = None,
        timeout_s: float | None = None,
        terminal: Terminal | None = None,
        stdin: bool = False,
    ) -> Execution:
        """Start a command in the VM that has a port."""
        port_id, agent = self.located(ref, host)
        return agent.execute(port_id, argv, timeout_s=timeout_s, terminal=terminal, stdin=stdin)

    def migrate(
        self,
        ref: str,
        request: MigrationRequest,
        *,
        on_request: Callable[[HttpRequest], None] = lambda _request: None,
        on_begin: Callable[[Callable[[], Look]], None] = lambda _look: None,
        on_report: Callable[[MigrationReport], None] = lambda _report: None,
    ) -> MigrationReport:
        """Move the VM that has a port, with all its NICs, to another host; return what was seen.

        Before the point of no return a failure, or Ctrl-C, is undone as Nova does it: after a live
        or cold one the VM is where it was, after others its ports stay bound to the destination.
        `on_request` is called after each request, `on_begin` once with what tells another thread
        how far it is, `on_report` also with the report of a failure.
        """
        port = self.find(ref, any_nic=True)
        self.check_is_a_vms(port)
        return migrate.run.migrate(
            *(self, port, request), on_request=on_request, on_begin=on_begin, on_report=on_report
        )

    def abort_migration(self, ref: str) -> list[str]:
        """Clean up after a migration or a shelve whose process was killed.

        Return what was done, in words.
        """
        return migrate.abort.abort(self, self.find(ref, any_nic=True))

    def confirm_migration(self, ref: str) -> str:
        """Confirm a cold migration that was not confirmed; return the host that the VM came from.

        Its revert is a migration of the kind "revert".
        """
        port = self.find(ref, any_nic=True)
        self.check_is_a_vms(port)
        return migrate.confirm.confirm(self, port)

    def execute_in(
        self, selectors: Sequence[str], argv: Sequence[str], *, timeout_s: float | None = None
    ) -> list[Result]:
        """Run a command in the VMs that are selected, of none in all, at once.

        NotFoundError, where a selector means none; UnavailableError, where a host does not answer.
        """
        targets = inventory.several.wanted(self, selectors)
        return inventory.several.run(self, targets, argv, timeout_s=timeout_s)

    @property
    def outages(self) -> Outages:
        """What is broken on purpose, and its end."""
        return outages.verbs.Outages(self, engine=self._engine)

    def cleanup(self, *, dry_run: bool = False) -> tuple[list[Leftover], list[FakevmError]]:
        """Remove from every host what is left of ports that Neutron does not have there.

        Return what that was, and the errors of hosts that could not be looked at.
        """
        return vms.cleanup.clean_up(self, dry_run=dry_run)

    def restart(
        self, services: Sequence[str] = (), *, only: str | None = None, timeout_s: float = RESTART_S
    ) -> list[Restarted]:
        """Start Neutron's processes anew, in some services and hosts or in all: VMs stay.

        With what is by now in the working tree and the packages that the lab was given. only: this
        process alone, as "l2-agent" or "api".
        """
        recipe.overlay.renew(self)
        return labs.restart.restart(
            self, services, only=only, engine=self._engine, timeout_s=timeout_s
        )

    def converge(
        self,
        things: Sequence[Thing],
        *,
        prune: bool = False,
        dry_run: bool = False,
        hosts: Sequence[str] = (),
        timeout_s: float = FILE_S,
        known: Raw | None = None,
    ) -> Converged:
        """Let the lab have what a file says, and with `prune` no more of what the file made.

        `dry_run` only returns what would be done; `hosts`: those that the lab will have by then;
        `known`: what there is of these things, so that the lab is not read.
        """
        return contents.converge.converge(
            self,
            things,
            prune=prune,
            dry_run=dry_run,
            hosts=hosts,
            delete_vm=self.delete_vm,
            timeout_s=timeout_s,
            known=known,
        )

    def remove(self, which: Ref, known: Raw, *, timeout_s: float = FILE_S) -> None:
        """Delete one thing, of which all that is there is known, with its parts."""
        contents.converge.remove(self, which, known, delete_vm=self.delete_vm, timeout_s=timeout_s)
