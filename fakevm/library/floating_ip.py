"""A floating IP of a lab."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fakevm.errors import ConflictError, NotFoundError
from fakevm.inventory import vifs
from fakevm.lab import FILE_S, Lab
from fakevm.library import reach
from fakevm.library.behind.making import Making
from fakevm.library.behind.words import FloatingIpWords, NicLike
from fakevm.library.handle import Resource
from fakevm.neutron.values import Port


@dataclass(frozen=True, kw_only=True)
class FloatingIp(Resource):
    """An address of an external network, by which a VM is reached. Its name is the address."""

    _path = "/floatingips"
    _member = "floatingip"

    @property
    def address(self) -> str:
        """The address."""
        return self.name

    @property
    def port(self) -> Port:
        """The port that it is for; ConflictError: for none."""
        return self._port(self.attributes)

    def _port(self, attributes: Mapping[str, Any]) -> Port:
        if not attributes["port_id"]:
            raise ConflictError(f"the floating IP {self.name} is for no port")
        return self.lab.neutron.port(attributes["port_id"])

    @property
    def end(self) -> reach.End:
        """The VM that it leads to, as who answers."""
        attributes = self.attributes
        port = self._port(attributes)
        if not port.host:
            raise ConflictError(f"the floating IP {self.name} is for a port on no host")
        return reach.End(
            name=vifs.vm_of_port(port, self.lab.agent(port.host).vifs()).name,
            host=port.host,
            port_id=port.id,
            address=self.name,
            own=attributes["fixed_ip_address"],
        )

    def delete(self) -> None:
        """Delete it; content if it is gone."""
        with suppress(NotFoundError):
            self.lab.neutron.write("DELETE", f"/floatingips/{self.id}")


def make(lab: Lab, nic: NicLike, words: FloatingIpWords) -> FloatingIp:
    """Let a VM's NIC have a floating IP as these words say."""
    making = Making(lab, "floating_ip", "")
    making.of_nic(nic)
    said: dict[str, Any] = {**words, "network": making.network(words["network"])}
    made = making.make(said, timeout_s=FILE_S)
    answer = lab.neutron.answer(f"/floatingips/{made}")["floatingip"]
    return FloatingIp(lab=lab, name=answer["floating_ip_address"], id=made)
