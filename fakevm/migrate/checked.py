"""What a migration needs is looked up, and whatever is wrong with it told, before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fakevm.clients.parts import Parts
from fakevm.errors import ConflictError, UnavailableError
from fakevm.inventory import addresses, vifs
from fakevm.migrate.move import Host, Move, Nic
from fakevm.migrate.request import MigrationRequest
from fakevm.model import PluggedVif, Server, Vm
from fakevm.neutron.api import Neutron
from fakevm.neutron.values import Port
from fakevm.vms import given


class Checked:
    """What a migration needs, looked up; whatever is wrong with it is an error here."""

    def __init__(self, lab: Parts, port: Port, request: MigrationRequest) -> None:
        self._evacuates = request.kind == "evacuate"
        if not port.device_id or not (port.bound or self._evacuates):
            raise ConflictError(
                f"port {port.id} is not bound to a host", hint=f"fakevm plug {port.id}"
            )
        self._lab = lab
        self._request = request
        self._server = lab.server(port.device_id)
        self._destination = lab.host(request.destination or self._came_from(port.host))
        if request.kind == "revert" and self._destination != self._came_from(port.host):
            raise ConflictError(
                f"VM {port.device_id} came from {self._came_from(port.host)}, and goes back there",
                hint=f"fakevm migrate --cold --revert {port.id}",
            )
        self._ports = lab.neutron.ports(device_id=port.device_id)
        # Another migration may have ended since the port was looked up.
        self._port = next((one for one in self._ports if one.id == port.id), port)
        self._source = self._evacuated_from() if self._evacuates else self._port.host
        if not self._evacuates:
            # Of an evacuation Nova asks nothing of the sort; one that failed is done again.
            self._check_ports()
        self._check_unconfirmed()
        self._check_source()
        lab.running_compute(self._destination)
        self._check_l2_agent()

    def move(self, neutron: Neutron) -> Move:
        """Return the move, by this Neutron."""
        source: Host | None = None
        guests: dict[str, PluggedVif] = {}
        if self._state(self._source) == "running":
            agent = self._lab.agent(self._source)
            guests = {one.port_id: one for one in agent.vifs()}
            source = agent
        self._check_guests(guests)
        return replace(
            move_of(
                *(self._lab, self._ports, guests, self._server),
                vm=vifs.vm_of_port(self._port, guests.values(), self._server),
                source=(self._source, source),
                destination=(self._destination, self._lab.agent(self._destination)),
            ),
            neutron=neutron,
            timeout_s=self._request.timeout_s,
            switches=self._request.switches,
        )

    def _state(self, host: str) -> str:
        """Return Docker's word for a host's container, "" if there is none."""
        return next((c.state for c in self._lab.computes if c.service == host), "")

    def _evacuated_from(self) -> str:
        """Return the host that is down; "": the VM is on none.

        An evacuation that failed may have bound some of the ports to the destination, or all; Nova
        has the VM on its host as before.
        """
        for port in self._ports:
            self._lab.check_host_of(port)
        away = {"", self._destination}
        hosts = {port.host for port in self._ports} - away or {self._server.host or ""} - away
        up = [host for host in sorted(hosts) if self._state(host) in ("running", "paused")]
        if up and not self._request.force:
            state = self._state(up[0])
            raise ConflictError(
                f"{up[0]} is {'up' if state == 'running' else state}: a VM is evacuated from a host"
                " that is down",
                hint=f"fakevm migrate {self._destination} {self._port.id}; or --force",
            )
        return min(sorted(hosts), key=lambda host: host in up, default=self._port.host)

    def _check_source(self) -> None:
        port, request = self._port, self._request
        state = self._state(self._source)
        if not self._source:
            raise ConflictError(f"VM {port.device_id} is on no host", hint=f"fakevm plug {port.id}")
        if request.source and self._lab.host(request.source) != self._source:
            raise ConflictError(f"port {port.id} is on {self._source}, not on {request.source}")
        if self._source == self._destination:
            raise ConflictError(
                f"the VM is on {self._source} already", hint="another host: fakevm status"
            )
        if self._evacuates:
            return
        if state == "paused":
            # Its VMs are there as soon as it goes on.
            self._lab.running_compute(port.host)
        elif state != "running":
            raise UnavailableError(
                f"{port.host} is down",
                hint=f"fakevm migrate --evacuate {self._destination} {port.id}",
            )

    def _check_ports(self) -> None:
        """Refuse a VM that is in several places, or on its way."""
        home = self._port.host
        for port in self._ports:
            if not port.bound:
                raise ConflictError(
                    f"port {port.id} of the same VM is not bound to a host",
                    hint=f"fakevm plug --host {home} {port.id}",
                )
            if port.host != home:
                raise ConflictError(
                    f"VM {port.device_id} is on {home}, but its port {port.id} is on {port.host}",
                    hint=f"fakevm migrate --abort {port.id}",
                )
            for binding in self._lab.neutron.bindings(port.id):
                if not binding.active:
                    raise ConflictError(
                        f"port {port.id} has an {binding.status} binding to {binding.host} already,"
                        " of a migration that was cut off",
                        hint=f"fakevm migrate --abort {port.id}",
                    )

    def _came_from(self, home: str) -> str:
        came_from = self._server.unconfirmed_from(home)
        if not came_from:
            raise ConflictError(
                f"VM {self._server.instance_id} has no cold migration that could be reverted",
                hint="fakevm migrate --cold --no-confirm DST VIF begins one",
            )
        return came_from

    def _check_unconfirmed(self) -> None:
        if self._request.kind != "revert":
            check_confirmed(self._server, self._port, self._port.device_id)

    def _check_l2_agent(self) -> None:
        found = self._lab.l2_agents(self._destination)
        if not any(agent.alive for agent in found):
            told = "down" if found else "not known to Neutron"
            raise ConflictError(
                f"the L2 agent of {self._destination} is {told}", hint="fakevm status"
            )

    def _check_guests(self, guests: dict[str, PluggedVif]) -> None:
        if self._evacuates:
            return
        for port in self._ports:
            if port.id not in guests:
                raise ConflictError(
                    f"port {port.id} is not plugged on {port.host}", hint=f"fakevm plug {port.id}"
                )
            if guests[port.id].paused:
                raise ConflictError(
                    f"VM {guests[port.id].vm_name} is paused",
                    hint=f"fakevm unpause {port.device_id}; where a migration was cut off: fakevm"
                    f" migrate --abort {port.id}",
                )


def check_confirmed(server: Server, port: Port, vm: str) -> None:
    """Check that the VM, so called, did not come to its port's host unconfirmed."""
    if came_from := server.unconfirmed_from(port.host):
        raise ConflictError(
            f"VM {vm} came from {came_from} by a cold migration that is not confirmed",
            hint=f"fakevm migrate --cold --confirm {port.id}, or --revert",
        )


def move_of(
    lab: Parts,
    ports: Sequence[Port],
    guests: Mapping[str, PluggedVif],
    server: Server,
    *,
    vm: Vm,
    source: tuple[str, Host | None],
    destination: tuple[str, Host],
) -> Move:
    """Return a VM's move with all its ports from one host to another, each with its name."""
    listed = _looked_up(lab, ports, guests, server)
    return Move(
        vm=vm,
        nics=_in_order(listed, server),
        listed=listed,
        source_name=source[0],
        destination_name=destination[0],
        neutron=lab.neutron,
        source=source[1],
        destination=destination[1],
        events=lab.events,
        timeout_s=lab.neutron.timeout_s,
        cuts_off_within_s=lab.backend.cuts_off_within_s,
        warn=lab.say,
    )


def _looked_up(
    lab: Parts, ports: Sequence[Port], guests: Mapping[str, PluggedVif], server: Server
) -> tuple[Nic, ...]:
    """Return a VM's NICs in the order of the ports; `guests` is what a host has of them, by port.

    What no host can tell of the addresses is as at a boot.
    """
    networks = {port.network_id: lab.neutron.network_of(port) for port in ports}

    def nic(port: Port) -> Nic:
        guest, network = guests.get(port.id), networks[port.network_id]
        ips = guest.fixed_ips if guest else addresses.fixed_ips(port, network, "dhcp")
        of_user = given.is_given(server, port.id)
        return Nic(port=port, network=network, fixed_ips=ips, guest=guest, given=of_user)

    return tuple(map(nic, ports))


def _in_order(nics: Iterable[Nic], server: Server) -> tuple[Nic, ...]:
    """Return NICs in the order of Nova's cache: as they were plugged, eth0 first.

    Where nobody can tell it, in the order of their ports.
    """
    return tuple(
        sorted(nics, key=lambda n: (n.name, given.place(server, n.port.id), n.port.created_at))
    )
