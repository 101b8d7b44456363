"""Neutron's ports, bindings and networks as values: alone imports openstack and keystoneauth1."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from fakevm.errors import (
    ConfigError,
    ConflictError,
    FakevmError,
    NotFoundError,
    UnavailableError,
    WaitTimeoutError,
)
from fakevm.names import is_uuid

if TYPE_CHECKING:
    import openstack.connection
    from keystoneauth1.adapter import Adapter

# What Nova writes is "compute:" and the availability zone (nova/network/neutron.py).
DEVICE_OWNER = "compute:nova"

# How often a port is asked whether it is ACTIVE; an answer takes Neutron some 30 ms.
POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class PortIp:
    """One of a port's fixed IPs, as Neutron has it."""

    ip_address: str
    subnet_id: str


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port; what was not asked for is empty."""

    id: str
    name: str = ""
    network_id: str = ""
    project_id: str = ""
    mac_address: str = ""
    status: str = ""
    device_id: str = ""
    device_owner: str = ""
    description: str = ""
    # Of the active binding.
    host: str = ""
    vif_type: str = ""
    vif_details: Mapping[str, Any] = field(default_factory=dict)
    vnic_type: str = "normal"
    profile: Mapping[str, Any] = field(default_factory=dict)
    fixed_ips: tuple[PortIp, ...] = ()
    admin_state_up: bool = True
    # ISO 8601, to the second.
    created_at: str = ""

    @property
    def bound(self) -> bool:
        """Whether a host has it."""
        return bool(self.host) and self.vif_type not in ("unbound", "binding_failed")


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A port's binding to one host."""

    host: str
    status: str
    vif_type: str
    vif_details: Mapping[str, Any]
    vnic_type: str = "normal"
    profile: Mapping[str, Any] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether the port is on this host; the destination of a migration is not."""
        return self.status == "ACTIVE"


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet, as far as a VM's addresses depend on it."""

    id: str
    name: str = ""
    cidr: str
    ip_version: int
    gateway_ip: str | None = None
    enable_dhcp: bool = True
    ipv6_address_mode: str | None = None
    ipv6_ra_mode: str | None = None

    @property
    def prefix_len(self) -> int:
        """The length of its prefix."""
        return int(self.cidr.rpartition("/")[2])


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network with its subnets."""

    id: str
    name: str
    mtu: int
    # vxlan, vlan, flat, …
    type: str = ""
    subnets: tuple[Subnet, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NeutronAgent:
    """A row of Neutron's agent list."""

    id: str
    binary: str
    host: str
    alive: bool
    admin_state_up: bool
    # An L2 agent's: system or netdev.
    datapath: str = ""


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request to Neutron and its answer; the bodies are JSON texts, "" for none."""

    start: float
    end: float
    method: str
    path: str
    status: int
    body: str = ""
    answer: str = ""


L2_AGENTS = ("neutron-openvswitch-agent", "ovn-controller", "OVN Controller Gateway agent")


class Neutron:
    """A lab's Neutron API, without Keystone: every call has the same timeout."""

    def __init__(self, endpoint: str, *, timeout_s: float = 30.0) -> None:
        self.endpoint = endpoint
        self.timeout_s = timeout_s
        # What Neutron took, in all calls.
        self.seconds = 0.0
        # Called after each request.
        self._on_request: Callable[[HttpRequest], None] | None = None
        self._connecting = Lock()

    def traced(
        self,
        on_request: Callable[[HttpRequest], None] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Self:
        """Return the same Neutron with its own count of `seconds`, which tells of each request.

        With its own timeout, too, where one is given.
        """
        self.connect()
        other = copy.copy(self)
        other.timeout_s = timeout_s or self.timeout_s
        other.seconds = 0.0
        other._on_request = on_request
        return other

    # Ports

    def ports(self, *, fields: Sequence[str] = (), **filters: str) -> list[Port]:
        """Return the ports that match, all of them without a filter."""
        query = [*filters.items(), *(("fields", name) for name in fields)]
        return [_port(found) for found in self._get("/ports", query)["ports"]]

    def port(self, port_id: str) -> Port:
        """Return a port."""
        return _port(self._get(f"/ports/{port_id}")["port"])

    def create_port(self, body: Mapping[str, Any]) -> Port:
        """Create a port."""
        return _port(self._send("POST", "/ports", {"port": body})["port"])

    def update_port(self, port_id: str, body: Mapping[str, Any]) -> Port:
        """Change what the body names of a port."""
        return _port(self._send("PUT", f"/ports/{port_id}", {"port": body})["port"])

    def delete_port(self, port_id: str) -> None:
        """Delete a port; content if it is gone."""
        with suppress(NotFoundError):
            self._send("DELETE", f"/ports/{port_id}")

    def wait_until_active(
        self, port_id: str, *, timeout_s: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Wait for the port's status ACTIVE: its L2 agent has wired it."""
        deadline = time.monotonic() + timeout_s
        while True:
            ports = self.ports(id=port_id, fields=("id", "status"))
            if not ports:
                raise NotFoundError(f"port {port_id} was deleted while it was waited for")
            if ports[0].status == "ACTIVE":
                return
            if time.monotonic() > deadline:
                raise WaitTimeoutError(
                    f"port {port_id} is {ports[0].status} after {timeout_s:g} s, not ACTIVE",
                    hint=f"fakevm show {port_id}; fakevm status",
                )
            sleep(POLL_S)

    # Bindings

    def bindings(self, port_id: str) -> list[Binding]:
        """Return a port's bindings, active and inactive ones."""
        return [_binding(b) for b in self._get(f"/ports/{port_id}/bindings")["bindings"]]

    def create_binding(
        self, port_id: str, host: str, *, vnic_type: str, profile: Mapping[str, Any]
    ) -> Binding:
        """Bind a port to a second host, INACTIVE at first."""
        body = {"binding": {"host": host, "vnic_type": vnic_type, "profile": dict(profile)}}
        try:
            return _binding(self._send("POST", f"/ports/{port_id}/bindings", body)["binding"])
        except NeutronFaultError as error:
            # Neutron answers 500 where no L2 agent that is alive can bind the port.
            raise ConflictError(
                f"Neutron could not bind port {port_id} to {host}: {error}", hint="fakevm status"
            ) from error

    def binding(self, port_id: str, host: str) -> Binding | None:
        """Return a port's binding to a host."""
        try:
            return _binding(self._get(f"/ports/{port_id}/bindings/{quote(host)}")["binding"])
        except NotFoundError:
            return None

    def activate_binding(self, port_id: str, host: str) -> None:
        """Make a binding the active one; the one until now becomes inactive."""
        self._send("PUT", f"/ports/{port_id}/bindings/{quote(host)}/activate")

    def delete_binding(self, port_id: str, host: str) -> None:
        """Delete a binding; content if it is gone."""
        with suppress(NotFoundError):
            self._send("DELETE", f"/ports/{port_id}/bindings/{quote(host)}")

    # Networks

    def network(self, ref: str) -> Network:
        """Return the network with this id or name, with its subnets."""
        fields = [("fields", name) for name in ("id", "name", "mtu", "provider:network_type")]
        found: list[dict[str, Any]] = []
        if is_uuid(ref):
            found = self._get("/networks", [("id", ref), *fields])["networks"]
        found = found or self._get("/networks", [("name", ref), *fields])["networks"]
        if not found:
            raise NotFoundError(
                f"there is no network {ref!r}", hint="fakevm openstack network list"
            )
        if len(found) > 1:
            ids = ", ".join(sorted(one["id"] for one in found))
            raise ConflictError(f"several networks are named {ref!r}: {ids}", hint="give the id")
        return _network(found[0], self._subnets(found[0]["id"]))

    def create_network(self, body: Mapping[str, Any]) -> Network:
        """Create a network, without subnets."""
        return _network(self._send("POST", "/networks", {"network": body})["network"], ())

    def create_subnet(self, body: Mapping[str, Any]) -> Subnet:
        """Create a subnet."""
        return _subnet(self._send("POST", "/subnets", {"subnet": body})["subnet"])

    def delete_network(self, network_id: str) -> None:
        """Delete a network with its subnets; content if it is gone."""
        with suppress(NotFoundError):
            self._send("DELETE", f"/networks/{network_id}")

    def network_of(self, port: Port) -> Network:
        """Return a port's network, with its subnets."""
        return _network(
            self._get(f"/networks/{port.network_id}")["network"], self._subnets(port.network_id)
        )

    def has_router(self, subnet: Subnet) -> bool:
        """Tell whether a router's interface is on a subnet, who alone advertises it."""
        query = [("fixed_ips", f"subnet_id={subnet.id}"), ("fields", "device_owner")]
        owners = (port["device_owner"] for port in self._get("/ports", query)["ports"])
        return any(owner.startswith("network:") and "router" in owner for owner in owners)

    def network_names(self) -> dict[str, str]:
        """Return the names of all networks by id."""
        fields = [("fields", "id"), ("fields", "name")]
        return {n["id"]: n["name"] for n in self._get("/networks", fields)["networks"]}

    # Agents

    def agents(self) -> list[NeutronAgent]:
        """Return Neutron's agent list."""
        return [_agent(found) for found in self._get("/agents")["agents"]]

    def delete_agent(self, agent_id: str) -> None:
        """Delete the row of an agent that is gone."""
        with suppress(NotFoundError):
            self._send("DELETE", f"/agents/{agent_id}")

    def security_group_id(self, ref: str) -> str:
        """Return the id of the security group with this id or name."""
        if is_uuid(ref):
            return ref
        found = self._get("/security-groups", [("name", ref), ("fields", "id")])["security_groups"]
        if not found:
            raise NotFoundError(f"there is no security group {ref!r}")
        if len(found) > 1:
            ids = ", ".join(sorted(one["id"] for one in found))
            raise ConflictError(f"several security groups are named {ref!r}: {ids}")
        return str(found[0]["id"])

    def _subnets(self, network_id: str) -> tuple[Subnet, ...]:
        found = self._get("/subnets", [("network_id", network_id)])["subnets"]
        # IPv4 first, as a port's addresses are usually listed.
        subnets = sorted(map(_subnet, found), key=lambda s: (s.ip_version, s.cidr))
        return tuple(subnets)

    # Calls

    def connect(self) -> None:
        """Import keystoneauth, or wait until that is done."""
        with self._connecting:
            _ = self._adapter

    def _get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        return self._send("GET", f"{path}?{urlencode(query)}" if query else path)

    def _send(self, method: str, path: str, body: object = None) -> Any:
        self.connect()
        from keystoneauth1 import exceptions

        start = time.monotonic()
        try:
            answer = self._adapter.request(path, method, json=body, timeout=self.timeout_s)
        except exceptions.ConnectTimeout as error:
            raise _no_answer(self.endpoint, f"nothing within {self.timeout_s:g} s") from error
        except exceptions.ClientException as error:
            raise _no_answer(self.endpoint, str(error)) from error
        finally:
            self.seconds += time.monotonic() - start
        if self._on_request:
            now = time.time()
            self._on_request(
                HttpRequest(
                    start=now - (time.monotonic() - start),
                    end=now,
                    method=method,
                    path=path,
                    status=answer.status_code,
                    body=json.dumps(body) if body is not None else "",
                    answer=answer.text,
                )
            )
        return _checked(answer.status_code, answer.content)

    @cached_property
    def sdk(self) -> openstack.connection.Connection:
        """The SDK's connection to the same Neutron, for what a script does beside VMs."""
        import openstack

        return openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth_type="none",
            auth={"endpoint": self.endpoint},
            api_timeout=self.timeout_s,
        )

    @cached_property
    def _adapter(self) -> Adapter:
        # What the SDK itself sends its requests with. By the SDK's resources several calls are made
        # of what is one of Nova's, and its import takes longer than all of ours.
        from keystoneauth1.adapter import Adapter
        from keystoneauth1.noauth import NoAuth
        from keystoneauth1.session import Session

        session = Session(auth=NoAuth(endpoint=self.endpoint))
        return Adapter(session, endpoint_override=f"{self.endpoint}/v2.0", raise_exc=False)


def prepare() -> None:
    """Import keystoneauth in the background, while the lab's containers are looked up."""

    def work() -> None:
        import keystoneauth1.adapter  # noqa: F401

    Thread(target=work, daemon=True).start()


def _no_answer(endpoint: str, words: str) -> UnavailableError:
    return UnavailableError(f"Neutron at {endpoint} does not answer: {words}", hint="fakevm status")


class NeutronFaultError(FakevmError):
    """Neutron failed inside (status 500)."""


def _checked(status: int, body: bytes) -> Any:
    if status < 400:
        return json.loads(body) if body else None
    try:
        told = json.loads(body)["NeutronError"]
        message = told if isinstance(told, str) else told["message"]
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace").strip()[:500] or f"status {status}"
    kinds = {400: ConfigError, 404: NotFoundError, 409: ConflictError, 503: UnavailableError}
    kind = kinds.get(status, NeutronFaultError if status >= 500 else FakevmError)
    raise kind(f"Neutron: {' '.join(message.split())}")


def _port(found: Mapping[str, Any]) -> Port:
    return Port(
        id=found["id"],
        name=found.get("name") or "",
        network_id=found.get("network_id") or "",
        project_id=found.get("project_id") or "",
        mac_address=found.get("mac_address") or "",
        status=found.get("status") or "",
        device_id=found.get("device_id") or "",
        device_owner=found.get("device_owner") or "",
        description=found.get("description") or "",
        host=found.get("binding:host_id") or "",
        vif_type=found.get("binding:vif_type") or "",
        vif_details=found.get("binding:vif_details") or {},
        vnic_type=found.get("binding:vnic_type") or "normal",
        profile=found.get("binding:profile") or {},
        fixed_ips=tuple(
            PortIp(ip_address=ip["ip_address"], subnet_id=ip["subnet_id"])
            for ip in found.get("fixed_ips") or ()
        ),
        admin_state_up=found.get("admin_state_up", True),
        created_at=found.get("created_at") or "",
    )


def _binding(found: Mapping[str, Any]) -> Binding:
    return Binding(
        host=found["host"],
        status=found["status"],
        vif_type=found["vif_type"],
        vif_details=found["vif_details"] or {},
        vnic_type=found.get("vnic_type") or "normal",
        profile=found.get("profile") or {},
    )


def _network(found: Mapping[str, Any], subnets: tuple[Subnet, ...]) -> Network:
    return Network(
        id=found["id"],
        name=found["name"],
        mtu=found["mtu"],
        type=found.get("provider:network_type") or "",
        subnets=subnets,
    )


def _subnet(found: Mapping[str, Any]) -> Subnet:
    return Subnet(
        id=found["id"],
        name=found["name"],
        cidr=found["cidr"],
        ip_version=found["ip_version"],
        gateway_ip=found["gateway_ip"],
        enable_dhcp=found["enable_dhcp"],
        ipv6_address_mode=found["ipv6_address_mode"],
        ipv6_ra_mode=found["ipv6_ra_mode"],
    )


def _agent(found: Mapping[str, Any]) -> NeutronAgent:
    return NeutronAgent(
        id=found["id"],
        binary=found["binary"],
        host=found["host"],
        alive=found["alive"],
        admin_state_up=found["admin_state_up"],
        datapath=(found.get("configurations") or {}).get("datapath_type", ""),
    )
