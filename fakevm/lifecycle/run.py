"""What is done with a VM on its host is looked up, checked and carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from fakevm.clients.agents import Agent
from fakevm.clients.parts import Parts
from fakevm.errors import ConflictError, NotFoundError
from fakevm.inventory import overview, vifs
from fakevm.inventory.rows import Row
from fakevm.lifecycle import reboot, shelve
from fakevm.migrate.checked import check_confirmed, move_of
from fakevm.migrate.move import Move, Switches
from fakevm.model import PluggedVif, Server
from fakevm.names import may_be_a_vms
from fakevm.neutron.values import Port
from fakevm.protocol.journal import Journal, note
from fakevm.protocol.steps import Protocol, carry_out
from fakevm.vms.placement import host_for
from fakevm.vms.ports import alone
from fakevm.vms.requests import Plugging


class Lifecycle:
    """What can be done with one VM where it is; each verb returns its ports' rows."""

    def __init__(self, lab: Parts, instance: str, *, plugging: Plugging, timeout_s: float) -> None:
        self._lab = lab
        self._vm = vifs.vm_of(instance)
        self._plugging = plugging
        self._timeout_s = timeout_s

    def reboot(self) -> list[Row]:
        """Unplug and plug the VM's NICs, as a hard reboot does."""
        return self._carry_out(reboot.HARD_REBOOT)

    def rebuild(self) -> list[Row]:
        """Build the VM anew on its host."""
        return self._carry_out(reboot.REBUILD)

    def pause(self) -> list[Row]:
        """Stop the guest, which keeps all that it has.

        nova: ComputeManager.pause_instance, suspend_instance: Neutron hears nothing of either.
        """
        return self._ask(lambda agent: agent.pause(self._vm.instance_id))

    def resume(self) -> list[Row]:
        """Let a guest go on that was paused. nova: ComputeManager.unpause_instance."""
        return self._ask(lambda agent: agent.resume(self._vm.instance_id, rarp=False))

    def shelve(self) -> list[Row]:
        """Take the VM from its host, and its ports with it, until it is unshelved."""
        return self._carry_out(shelve.SHELVE)

    def unshelve(self, host: str | None) -> list[Row]:
        """Boot a shelved VM on a host, with the ports that it had."""
        with alone(self._lab, self._vm, self._timeout_s):
            ports = self._ports()
            server = self._lab.server(self._vm.instance_id)
            bound = sorted({port.host for port in ports if port.host})
            if bound and not server.shelved:
                raise ConflictError(
                    f"VM {self._vm.name} is on {', '.join(bound)}, and not shelved",
                    hint="fakevm list",
                )
            if host or not bound:
                place = self._lab.host(host) if host else self._any_host()
            else:
                # Where an unshelve has failed.
                place = bound[0]
            self._lab.running_compute(place)
            move = self._move(ports, {}, server, source="", destination=place)
            self._protocol(shelve.UNSHELVE, move)
        return self._rows()

    def _any_host(self) -> str:
        return host_for(self._lab, self._vm, None, unshelving=True)[0]

    def _carry_out(self, protocol: Protocol[Move]) -> list[Row]:
        with alone(self._lab, self._vm, self._timeout_s):
            ports, host, guests, server = self._on_its_host()
            move = self._move(ports, guests, server, source=host, destination=host)
            # Nova knows where each server is, and answers Neutron's events by it.
            self._lab.events.register_vm(move.vm, host=host)
            self._protocol(protocol, move)
        return self._rows()

    def _ask(self, act: Callable[[Agent], object]) -> list[Row]:
        with alone(self._lab, self._vm, self._timeout_s):
            act(self._lab.agent(self._on_its_host()[1]))
        return self._rows()

    def _protocol(self, protocol: Protocol[Move], move: Move) -> None:
        journal = Journal(say=self._lab.say, tell=note(self._lab.events, move.vm.instance_id))
        carry_out(protocol, move, journal)

    def _on_its_host(self) -> tuple[list[Port], str, Mapping[str, PluggedVif], Server]:
        """Return the VM's ports, its host, what that has of them, and what Nova has of it."""
        ports = self._ports()
        hosts = sorted({port.host for port in ports})
        if len(hosts) > 1:
            told = ", ".join(f"port {port.id} on {port.host or 'no host'}" for port in ports)
            raise ConflictError(
                f"VM {self._vm.name} is in several places: {told}",
                hint=f"fakevm migrate --abort {ports[0].id}",
            )
        if not hosts[0]:
            raise ConflictError(
                f"VM {self._vm.name} is on no host", hint=f"fakevm unshelve {self._vm.name}"
            )
        host = self._lab.running_compute(hosts[0]).service
        guests = {one.port_id: one for one in self._lab.agent(host).vifs()}
        for port in ports:
            if port.id not in guests:
                raise ConflictError(
                    f"port {port.id} is not plugged on {host}", hint=f"fakevm plug {port.id}"
                )
        server = self._lab.server(self._vm.instance_id)
        check_confirmed(server, ports[0], self._vm.name)
        return ports, host, guests, server

    def _move(
        self,
        ports: Sequence[Port],
        guests: Mapping[str, PluggedVif],
        server: Server,
        *,
        source: str,
        destination: str,
    ) -> Move:
        vm = vifs.vm_of_port(ports[0], guests.values(), server)
        if vm.name == vm.instance_id:
            # Nobody knew it any more, but the user does.
            vm = replace(vm, name=self._vm.name)
        return replace(
            move_of(
                *(self._lab, ports, guests, server),
                vm=vm,
                source=(source, self._lab.agent(source) if source else None),
                destination=(destination, self._lab.agent(destination)),
            ),
            timeout_s=self._timeout_s,
            switches=Switches(plugging=self._plugging),
        )

    def _ports(self) -> list[Port]:
        found = self._lab.neutron.ports(device_id=self._vm.instance_id)
        ports = [port for port in found if may_be_a_vms(port)]
        if not ports:
            raise NotFoundError(f"there is no VM {self._vm.name!r}", hint="fakevm list")
        return ports

    def _rows(self) -> list[Row]:
        return [row for row in overview.rows(self._lab) if row.instance_id == self._vm.instance_id]
