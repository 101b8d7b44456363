"""Neutron without Neutron: ports, bindings and networks in memory, and the L2 agents' part."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from fakevm.errors import ConflictError, FakevmError, NotFoundError, WaitTimeoutError
from fakevm.neutron.answers import NeutronFaultError
from fakevm.neutron.api import Neutron
from fakevm.neutron.values import Binding, HttpRequest, Network, NeutronAgent, Port, PortIp, Subnet
from tests.fakes.host import FakeHost

VIF_DETAILS = {"bridge_name": "br-int", "datapath_type": "netdev"}


def make_subnet(number: int = 1, **attributes: Any) -> Subnet:
    wanted: dict[str, Any] = {
        "id": f"5ab00000-0000-4000-8000-{number:012d}",
        "name": f"s{number}",
        "cidr": f"10.0.{number}.0/24",
        "ip_version": 4,
        "gateway_ip": f"10.0.{number}.1",
    }
    return Subnet(**{**wanted, **attributes})


def make_network(name: str = "net", *subnets: Subnet) -> Network:
    return Network(
        id="9e700000-0000-4000-8000-000000000001",
        name=name,
        mtu=1450,
        subnets=subnets or (make_subnet(),),
    )


class FakeNeutron(Neutron):
    """Has what the commands need. What stands in `broken` fails, with this error."""

    def __init__(self, hosts: Mapping[str, FakeHost], *networks: Network) -> None:
        super().__init__("http://fake:9696")
        self.hosts = hosts
        self.networks = {network.name: network for network in networks or (make_network(),)}
        self.ports_by_id: dict[str, Port] = {}
        self.bindings_by_port: dict[str, dict[str, Binding]] = {}
        self.alive = dict.fromkeys(hosts, True)
        # Where DHCP agents serve every network.
        self.dhcp_hosts = ["network-1"]
        self.broken: dict[str, FakevmError] = {}
        # Called before a write is carried out, with its method's name.
        self.before: Callable[[str], None] = lambda _method: None
        self.writes: list[tuple[str, str]] = []
        # What `write` has made, by path.
        self.things: dict[str, Mapping[str, Any]] = {}
        # What a write is answered with instead of being carried out, by its method's name.
        self.refusals: dict[str, int] = {}
        # Told of an event for Nova: its name, the VM's id, the port's.
        self.emit: Callable[[str, str, str], object] = lambda _name, _vm, _port: None
        self._numbers = itertools.count(1)
        for host in hosts.values():
            host.on_plug = self._plugged
            host.on_unplug = self._unplugged

    def connect(self) -> None:
        pass

    # As they are

    def answer(self, path: str) -> Mapping[str, Any]:
        if error := self.broken.get("answer"):
            raise error
        rows: dict[str, list[dict[str, object]]] = {
            "/networks": [
                {"id": one.id, "name": one.name, "admin_state_up": True}
                for one in self.networks.values()
            ],
            "/ports": [
                {
                    "id": one.id,
                    "name": one.name,
                    "network_id": one.network_id,
                    "device_id": one.device_id,
                    "device_owner": one.device_owner,
                }
                for one in self.ports_by_id.values()
            ],
            **{f"/{name}": [] for name in ("subnets", "routers", "security-groups", "agents")},
        }
        if path not in rows:
            raise NotFoundError("Neutron: The resource could not be found.")
        return {path[1:].replace("-", "_"): rows[path]}

    def write(self, method: str, path: str, body: object = None) -> Any:
        self._write(method, path)
        match method, body:
            case "POST", dict():
                ((kind, attributes),) = body.items()
                thing = {"id": f"7a1e0000-0000-4000-9000-{next(self._numbers):012d}", **attributes}
                self.things[f"{path}/{thing['id']}"] = thing
                return {kind: thing}
            case "DELETE", None:
                if path not in self.things:
                    raise NotFoundError(f"Neutron: {path} could not be found.")
                del self.things[path]
                return None
            case unknown:
                raise AssertionError(f"no such write: {unknown}")

    # Ports

    def ports(self, *, fields: Sequence[str] = (), **filters: str) -> list[Port]:
        found = list(self.ports_by_id.values())
        for name, value in filters.items():
            match name:
                case "id":
                    found = [port for port in found if port.id == value]
                case "network_id":
                    found = [port for port in found if port.network_id == value]
                case "network_id":
                    found = [port for port in found if port.network_id == value]
                case "device_owner":
                    found = [port for port in found if port.device_owner == value]
                case "device_id":
                    found = [port for port in found if port.device_id == value]
                case "binding:host_id":
                    found = [port for port in found if value in self.bindings_by_port[port.id]]
                case unknown:
                    raise AssertionError(f"no such filter: {unknown}")
        return found

    def port(self, port_id: str) -> Port:
        if port_id not in self.ports_by_id:
            raise NotFoundError(f"Neutron: Port {port_id} could not be found.")
        return self.ports_by_id[port_id]

    def create_port(self, body: Mapping[str, Any]) -> Port:
        number = next(self._numbers)
        port = Port(
            id=f"{number:08x}-0000-4000-8000-000000000000",
            name=body.get("name", ""),
            network_id=body["network_id"],
            project_id=body.get("tenant_id", "project"),
            mac_address=f"fa:16:3e:00:00:{number:02x}",
            status="DOWN",
            device_id=body.get("device_id", ""),
            device_owner=body.get("device_owner", ""),
            vnic_type=body.get("binding:vnic_type", "normal"),
            fixed_ips=tuple(
                self._ip(number, wanted)
                for wanted in body.get("fixed_ips", self._of_each_subnet(body["network_id"]))
            ),
        )
        self._write("create_port", port.id)
        self.ports_by_id[port.id] = port
        self.bindings_by_port[port.id] = {}
        self._set_admin_state(port.id, up=body.get("admin_state_up", True))
        if host := body.get("binding:host_id"):
            self._bind(port.id, host)
        return self.ports_by_id[port.id]

    def update_port(self, port_id: str, body: Mapping[str, Any]) -> Port:
        self._write("update_port", port_id)
        port = self.port(port_id)
        for name, value in body.items():
            match name:
                case "binding:host_id":
                    self._bind(port_id, value)
                    port = self.ports_by_id[port_id]
                case "binding:profile":
                    port = replace(port, profile=dict(value))
                    self.ports_by_id[port_id] = port
                    self._wire(port_id)
                case "admin_state_up":
                    self._set_admin_state(port_id, up=value)
                case "device_id" | "device_owner":
                    port = replace(self.ports_by_id[port_id], **{name: value})
                    self.ports_by_id[port_id] = port
                case unknown:
                    raise AssertionError(f"no such attribute: {unknown}")
        port = self.ports_by_id[port_id]
        if port.host and not port.bound and "binding:host_id" not in body:
            # Whatever is written, ML2 binds what is not bound.
            self._bind(port_id, port.host)
        return self.ports_by_id[port_id]

    def delete_port(self, port_id: str) -> None:
        self._write("delete_port", port_id)
        self.ports_by_id.pop(port_id, None)
        self.bindings_by_port.pop(port_id, None)

    def wait_until_active(
        self,
        port_id: str,
        *,
        timeout_s: float,
        check: Callable[[], object] = lambda: None,
        sleep: object = None,
    ) -> None:
        self.before("wait_until_active")
        if "wait_until_active" in self.broken:
            raise self.broken["wait_until_active"]
        self._wire(port_id)
        port = self.port(port_id)
        assert port.admin_state_up
        if port.host not in self.hosts or port_id not in self.hosts[port.host].vifs_by_port:
            check()
            raise WaitTimeoutError(f"port {port_id} is DOWN after {timeout_s:g} s, not ACTIVE")
        self.ports_by_id[port_id] = replace(port, status="ACTIVE")

    # Bindings

    def bindings(self, port_id: str) -> list[Binding]:
        self.port(port_id)
        return list(self.bindings_by_port[port_id].values())

    def binding(self, port_id: str, host: str) -> Binding | None:
        self.before("binding")
        return self.bindings_by_port[port_id].get(host)

    def create_binding(
        self, port_id: str, host: str, *, vnic_type: str, profile: Mapping[str, Any]
    ) -> Binding:
        self._write("create_binding", port_id)
        if host in self.bindings_by_port[port_id]:
            raise ConflictError(f"Neutron: Binding for port {port_id} on host {host} exists")
        if not self.alive.get(host):
            raise ConflictError(f"Neutron could not bind port {port_id} to {host}")
        made = Binding(
            host=host,
            status="INACTIVE",
            vif_type="ovs",
            vif_details=VIF_DETAILS,
            vnic_type=vnic_type,
            profile=profile,
        )
        self.bindings_by_port[port_id][host] = made
        return made

    def activate_binding(self, port_id: str, host: str) -> None:
        self._write("activate_binding", port_id)
        bindings = self.bindings_by_port[port_id]
        if host not in bindings:
            raise NotFoundError(f"Neutron: no binding of port {port_id} to {host}")
        if bindings[host].active:
            raise ConflictError(f"Neutron: the binding of port {port_id} to {host} is active")
        for name, binding in bindings.items():
            if name == host:
                bindings[name] = replace(binding, status="ACTIVE")
            elif binding.active:
                # As ML2 leaves it.
                bindings[name] = replace(
                    binding, status="INACTIVE", vif_type="unbound", vif_details={}
                )
        before = self.ports_by_id[port_id]
        # The L2 agent there deletes the OVS port of a binding that was deactivated.
        self.hosts[before.host].cut_off(port_id)
        self.ports_by_id[port_id] = replace(
            before,
            host=host,
            status="DOWN",
            vif_type=bindings[host].vif_type,
            vif_details=bindings[host].vif_details,
            profile=bindings[host].profile,
        )
        self._wire(port_id)

    def delete_binding(self, port_id: str, host: str) -> None:
        self._write("delete_binding", port_id)
        self.bindings_by_port[port_id].pop(host, None)

    # The rest

    def network(self, ref: str) -> Network:
        for network in self.networks.values():
            if ref in (network.id, network.name):
                return network
        raise NotFoundError(f"there is no network {ref!r}")

    def create_network(self, body: Mapping[str, Any]) -> Network:
        self._write("create_network", body["name"])
        number = next(self._numbers)
        made = Network(id=f"9e700000-0000-4000-9000-{number:012d}", name=body["name"], mtu=1450)
        self.networks[made.name] = made
        return made

    def create_subnet(self, body: Mapping[str, Any]) -> Subnet:
        network = self.network(body["network_id"])
        self._write("create_subnet", network.id)
        values = {"gateway_ip": None, **{key: body[key] for key in body if key != "network_id"}}
        subnet = Subnet(id=f"5ab00000-0000-4000-9000-{next(self._numbers):012d}", **values)
        self.networks[network.name] = replace(network, subnets=(*network.subnets, subnet))
        return subnet

    def update_subnet(self, subnet_id: str, body: Mapping[str, Any]) -> Subnet:
        self._write("update_subnet", subnet_id)
        for network in self.networks.values():
            for subnet in network.subnets:
                if subnet.id == subnet_id:
                    changed = replace(subnet, **body)
                    subnets = tuple(changed if one is subnet else one for one in network.subnets)
                    self.networks[network.name] = replace(network, subnets=subnets)
                    return changed
        raise NotFoundError(f"Neutron: Subnet {subnet_id} could not be found.")

    def delete_network(self, network_id: str) -> None:
        self._write("delete_network", network_id)
        if any(port.network_id == network_id for port in self.ports_by_id.values()):
            raise ConflictError(f"Neutron: network {network_id} is in use")
        self.networks = {k: one for k, one in self.networks.items() if one.id != network_id}

    def network_of(self, port: Port) -> Network:
        return self.network(port.network_id)

    def network_names(self) -> dict[str, str]:
        return {network.id: network.name for network in self.networks.values()}

    def project_id(self, ref: str | None = None) -> str:
        return ref or "project"

    def security_group_id(self, ref: str, project_id: str) -> str:
        return ref

    def has_router(self, subnet: Subnet) -> bool:
        return False

    def agents(self) -> list[NeutronAgent]:
        return [
            NeutronAgent(
                id=f"agent-{host}",
                binary="neutron-openvswitch-agent",
                host=host,
                alive=alive,
                admin_state_up=True,
                datapath="netdev",
            )
            for host, alive in self.alive.items()
        ]

    def dhcp_agents(self, network_id: str) -> list[NeutronAgent]:
        self.network(network_id)
        if "dhcp_agents" in self.broken:
            raise self.broken["dhcp_agents"]
        return [
            NeutronAgent(
                id=f"dhcp-{host}",
                binary="neutron-dhcp-agent",
                host=host,
                alive=True,
                admin_state_up=True,
            )
            for host in self.dhcp_hosts
        ]

    def delete_agent(self, agent_id: str) -> None:
        self._write("delete_agent", agent_id)
        del self.alive[agent_id.removeprefix("agent-")]

    def _write(self, method: str, subject: str) -> None:
        self.before(method)
        if method in self.broken:
            raise self.broken[method]
        status = self.refusals.get(method, 200)
        if self._on_request:
            now = time.time()
            self._on_request(
                HttpRequest(start=now, end=now, method=method, path=subject, status=status)
            )
        if status >= 400:
            raise NeutronFaultError(f"Neutron: status {status}")
        self.writes.append((method, subject))

    def _of_each_subnet(self, network_id: str) -> list[dict[str, str]]:
        return [{"subnet_id": subnet.id} for subnet in self.network(network_id).subnets]

    def _ip(self, number: int, wanted: Mapping[str, str]) -> PortIp:
        subnets = [subnet for network in self.networks.values() for subnet in network.subnets]
        if address := wanted.get("ip_address"):
            subnet = next(s for s in subnets if ip_address(address) in ip_network(s.cidr))
        else:
            subnet = next(s for s in subnets if s.id == wanted["subnet_id"])
            address = f"{subnet.cidr.rpartition('.')[0]}.{100 + number}"
        return PortIp(ip_address=address, subnet_id=subnet.id)

    def _set_admin_state(self, port_id: str, *, up: bool) -> None:
        port = self.ports_by_id[port_id]
        status = port.status if up else "DOWN"
        self.ports_by_id[port_id] = replace(port, admin_state_up=up, status=status)
        for host in self.hosts.values():
            (host.cut.discard if up else host.cut.add)(port_id)
        self._wire(port_id)

    def _bind(self, port_id: str, host: str | None) -> None:
        if host is None:
            self.bindings_by_port[port_id] = {}
            self.ports_by_id[port_id] = replace(
                self.ports_by_id[port_id],
                host="",
                vif_type="unbound",
                vif_details={},
                status="DOWN",
            )
            return
        alive = self.alive.get(host, False)
        vif_type = "ovs" if alive else "binding_failed"
        binding = Binding(host=host, status="ACTIVE", vif_type=vif_type, vif_details=VIF_DETAILS)
        self.bindings_by_port[port_id] = {host: binding}
        self.ports_by_id[port_id] = replace(
            self.ports_by_id[port_id],
            host=host,
            vif_type=vif_type,
            vif_details=VIF_DETAILS,
            status="DOWN",
        )
        if alive:
            # It may be plugged there by now.
            self._wire(port_id)

    def _plugged(self, host: str, port_id: str) -> None:
        port = self.ports_by_id.get(port_id)
        if port and host == port.profile.get("migrating_to", port.host):
            self._wire(port_id)

    def _unplugged(self, host: str, port_id: str) -> None:
        port = self.ports_by_id.get(port_id)
        if port and host == port.host:
            self.ports_by_id[port_id] = replace(port, status="DOWN")

    def _wire(self, port_id: str) -> None:
        """Do what the L2 agents do with a port: wire it where it is, and where it goes to."""
        port = self.ports_by_id.get(port_id)
        if port is None or not port.admin_state_up:
            return
        # An agent leaves a port alone that is on its way to another host.
        host = str(port.profile.get("migrating_to", port.host))
        if host in self.hosts and self.hosts[host].wire(port_id):
            if host == port.host:
                self.ports_by_id[port_id] = replace(port, status="ACTIVE")
            self.emit("network-vif-plugged", port.device_id, port_id)
