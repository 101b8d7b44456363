"""What a user's words for a port mean: it, or its VM."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fakevm import inventory, names
from fakevm.clients.parts import PLACE, Parts
from fakevm.errors import ConfigError, ConflictError

if TYPE_CHECKING:
    from fakevm.clients.agents import Agent
    from fakevm.neutron.values import Port


class Lookup(Parts):
    """A lab whose ports are found by their VMs' names, too."""

    def find(self, ref: str, *, whole: bool = True, any_nic: bool = False) -> Port:
        """Return the port that a user names by UUID, name, its VM, or the UUID's beginning.

        A VM with several ports is ambiguous, unless any of them will do.
        """
        found = self.find_all(ref, whole=whole)
        if len(found) > 1 and not any_nic:
            known = ", ".join(sorted(names.called(port) for port in found))
            raise ConflictError(f"VM {ref} has several ports: {known}", hint="give one of these")
        return found[0]

    def find_all(self, ref: str, *, whole: bool = True) -> list[Port]:
        """Return the port that a user names, or all of a VM's."""
        fields = () if whole else PLACE
        one = self.neutron.ports(id=ref, fields=fields) if names.is_uuid(ref) else []
        ports = one or self.neutron.ports(fields=fields)
        if exact := [port for port in ports if ref in (port.id, port.name)]:
            return [names.find_port(ref, exact)]
        # Another port's UUID may begin with a VM's name, as with "db".
        return _ports_of(ref, ports) or [names.find_port(ref, ports)]

    def located(self, ref: str, host: str | None = None) -> tuple[str, Agent]:
        """Return a port's id and the agent of its host, or of the one that is given."""
        port = self.find(ref, whole=False, any_nic=True)
        target = self.host(host) if host else port.host
        if not target:
            raise ConflictError(f"port {port.id} is not bound to a host", hint=f"fakevm plug {ref}")
        return port.id, self.agent(target)

    def check_is_a_vms(self, port: Port) -> None:
        """Refuse a port that is no VM's, or one of a host that is another's."""
        if not names.may_be_a_vms(port):
            raise ConflictError(
                f"port {port.id} is no VM's: it belongs to {port.device_owner}",
                hint=f"fakevm openstack port show {port.id}",
            )
        self.check_host_of(port)


def _ports_of(instance: str, ports: Iterable[Port]) -> list[Port]:
    """Return of ports a VM's, by its name or id; none, where that can be no VM's name."""
    try:
        instance_id = inventory.vifs.vm_of(instance).instance_id
    except ConfigError:
        return []
    found = [one for one in ports if one.device_id == instance_id and names.may_be_a_vms(one)]
    return sorted(found, key=lambda port: port.id)
