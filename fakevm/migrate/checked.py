"""What a migration needs is looked up, and whatever is wrong with it told, before it begins."""

from __future__ import annotations

from fakevm.clients.parts import Parts
from fakevm.errors import ConflictError, UnavailableError
from fakevm.migrate.move import Host, Move, Nic
from fakevm.migrate.request import MigrationRequest
from fakevm.model import PluggedVif
from fakevm.neutron.api import Neutron
from fakevm.neutron.values import Network, Port
from fakevm.vms import addresses, vifs


class Checked:
    """What a migration needs, looked up; whatever is wrong with it is an error here."""

    def __init__(self, lab: Parts, port: Port, request: MigrationRequest) -> None:
        if not port.bound or not port.device_id:
            raise ConflictError(
                f"port {port.id} is not bound to a host", hint=f"fakevm plug {port.id}"
            )
        self._lab = lab
        self._request = request
        self._destination = lab.host(request.destination)
        self._ports = lab.neutron.ports(device_id=port.device_id)
        # Another migration may have ended since the port was looked up.
        self._port = next((one for one in self._ports if one.id == port.id), port)
        self._check_ports()
        self._check_source()
        lab.running_compute(self._destination)
        self._check_l2_agent()

    def move(self, neutron: Neutron) -> Move:
        """Return the move, by this Neutron."""
        source: Host | None = None
        guests: dict[str, PluggedVif] = {}
        if self._source_state == "running":
            agent = self._lab.agent(self._port.host)
            guests = {one.port_id: one for one in agent.vifs()}
            source = agent
        self._check_guests(guests)
        networks = {p.network_id: self._lab.neutron.network_of(p) for p in self._ports}
        listed = tuple(self._nic(p, networks[p.network_id], guests.get(p.id)) for p in self._ports)
        vm = vifs.vm_of_port(self._port, guests.values())
        return Move(
            vm=vm,
            # eth0 first: NICs are numbered in the order of plugging. A source that is down can't
            # tell it: then in the order of their ports.
            nics=tuple(sorted(listed, key=lambda nic: (nic.name, nic.port.created_at))),
            listed=listed,
            source_name=self._port.host,
            destination_name=self._destination,
            neutron=neutron,
            source=source,
            destination=self._lab.agent(self._destination),
            events=self._lab.events,
            timeout_s=self._request.timeout_s,
            switches=self._request.switches,
            warn=self._lab.say,
        )

    @property
    def _source_state(self) -> str:
        """Docker's word for the source's container, "" if there is none."""
        return next((c.state for c in self._lab.computes if c.service == self._port.host), "")

    def _check_source(self) -> None:
        port, request = self._port, self._request
        state = self._source_state
        if request.source and self._lab.host(request.source) != port.host:
            raise ConflictError(f"port {port.id} is on {port.host}, not on {request.source}")
        if port.host == self._destination:
            raise ConflictError(
                f"the VM is on {port.host} already", hint="another host: fakevm status"
            )
        if request.kind == "evacuate":
            if state in ("running", "paused") and not request.force:
                up = "up" if state == "running" else state
                raise ConflictError(
                    f"{port.host} is {up}: a VM is evacuated from a host that is down",
                    hint=f"fakevm migrate {self._destination} {port.id}; or --force",
                )
        elif state == "paused":
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
                    hint=f"fakevm delete-port {port.id}",
                )
            for binding in self._lab.neutron.bindings(port.id):
                if not binding.active:
                    raise ConflictError(
                        f"port {port.id} has an {binding.status} binding to {binding.host} already,"
                        " of a migration that was cut off",
                        hint=f"fakevm migrate --abort {port.id}",
                    )

    def _check_l2_agent(self) -> None:
        found = self._lab.l2_agents(self._destination)
        if not any(agent.alive for agent in found):
            told = "down" if found else "not known to Neutron"
            raise ConflictError(
                f"the L2 agent of {self._destination} is {told}", hint="fakevm status"
            )

    def _check_guests(self, guests: dict[str, PluggedVif]) -> None:
        if self._request.kind == "evacuate":
            return
        for port in self._ports:
            if port.id not in guests:
                raise ConflictError(
                    f"port {port.id} is not plugged on {port.host}", hint=f"fakevm plug {port.id}"
                )

    def _nic(self, port: Port, network: Network, guest: PluggedVif | None) -> Nic:
        ips = guest.fixed_ips if guest else addresses.fixed_ips(port, network, "dhcp")
        return Nic(port=port, network=network, fixed_ips=ips, guest=guest)
