"""Neutron's API, as far as VMs need it."""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from fakevm import neutron
from fakevm.errors import (
    ConflictError,
    NotFoundError,
    WaitTimeoutError,
)
from fakevm.names import is_uuid
from fakevm.neutron import answers, made
from fakevm.neutron.answers import NeutronFaultError
from fakevm.neutron.values import Binding, HttpRequest, Network, NeutronAgent, Port, Subnet

if TYPE_CHECKING:
    import openstack.connection

    from fakevm.neutron.login import Login
    from fakevm.neutron.made import Made
    from fakevm.neutron.sender import Sender

# What Nova writes is "compute:" and the availability zone (nova/network/neutron.py).
DEVICE_OWNER = "compute:nova"

# How often a port is asked whether it is ACTIVE; an answer takes Neutron some 30 ms.
POLL_S = 0.2
# What else may end the wait is looked at once a second.
_POLLS_PER_CHECK = 5


class Neutron:
    """A lab's Neutron API, asked by one user of its Keystone if it has one.

    Every call has the same timeout.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        login: Login | None = None,
        timeout_s: float = 30.0,
        hearing: Sequence[Callable[[Made], None]] = (),
    ) -> None:
        """`hearing` are told of all that is made, by the `sdk`, too; more may be added later."""
        self.endpoint = endpoint
        self._hearing = hearing
        self._login = login
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
        return [answers.port(found) for found in self._get("/ports", query)["ports"]]

    def port(self, port_id: str) -> Port:
        """Return a port."""
        return answers.port(self._get(f"/ports/{port_id}")["port"])

    def create_port(self, body: Mapping[str, Any]) -> Port:
        """Create a port."""
        return answers.port(self._send("POST", "/ports", {"port": body})["port"])

    def update_port(self, port_id: str, body: Mapping[str, Any]) -> Port:
        """Change what the body names of a port."""
        return answers.port(self._send("PUT", f"/ports/{port_id}", {"port": body})["port"])

    def delete_port(self, port_id: str) -> None:
        """Delete a port; content if it is gone."""
        with suppress(NotFoundError):
            self._send("DELETE", f"/ports/{port_id}")

    def wait_until_active(
        self,
        port_id: str,
        *,
        timeout_s: float,
        check: Callable[[], object] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Wait for the port's status ACTIVE: its L2 agent has wired it.

        `check` is called each second; what it raises ends the wait.
        """
        deadline = time.monotonic() + timeout_s
        for round_ in itertools.count(1):
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
            if round_ % _POLLS_PER_CHECK == 0:
                check()
            sleep(POLL_S)

    # Bindings

    def bindings(self, port_id: str) -> list[Binding]:
        """Return a port's bindings, active and inactive ones."""
        return [answers.binding(b) for b in self._get(f"/ports/{port_id}/bindings")["bindings"]]

    def create_binding(
        self, port_id: str, host: str, *, vnic_type: str, profile: Mapping[str, Any]
    ) -> Binding:
        """Bind a port to a second host, INACTIVE at first."""
        body = {"binding": {"host": host, "vnic_type": vnic_type, "profile": dict(profile)}}
        try:
            return answers.binding(
                self._send("POST", f"/ports/{port_id}/bindings", body)["binding"]
            )
        except NeutronFaultError as error:
            # Neutron answers 500 where no L2 agent that is alive can bind the port.
            raise ConflictError(
                f"Neutron could not bind port {port_id} to {host}: {error}", hint="fakevm status"
            ) from error

    def binding(self, port_id: str, host: str) -> Binding | None:
        """Return a port's binding to a host."""
        try:
            return answers.binding(self._get(f"/ports/{port_id}/bindings/{quote(host)}")["binding"])
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
        return answers.network(found[0], self._subnets(found[0]["id"]))

    def create_network(self, body: Mapping[str, Any]) -> Network:
        """Create a network, without subnets."""
        return answers.network(self._send("POST", "/networks", {"network": body})["network"], ())

    def create_subnet(self, body: Mapping[str, Any]) -> Subnet:
        """Create a subnet."""
        return answers.subnet(self._send("POST", "/subnets", {"subnet": body})["subnet"])

    def update_subnet(self, subnet_id: str, body: Mapping[str, Any]) -> Subnet:
        """Change a subnet."""
        return answers.subnet(
            self._send("PUT", f"/subnets/{subnet_id}", {"subnet": body})["subnet"]
        )

    def delete_network(self, network_id: str) -> None:
        """Delete a network with its subnets; content if it is gone."""
        with suppress(NotFoundError):
            self._send("DELETE", f"/networks/{network_id}")

    def network_of(self, port: Port) -> Network:
        """Return a port's network, with its subnets."""
        return answers.network(
            self._get(f"/networks/{port.network_id}")["network"], self._subnets(port.network_id)
        )

    def has_router(self, subnet: Subnet) -> bool:
        """Tell whether a router's interface is on a subnet, who alone advertises it."""
        query = [("fixed_ips", f"subnet_id={subnet.id}"), ("fields", "device_owner")]
        owners = (port["device_owner"] for port in self._get("/ports", query)["ports"])
        return any(owner.startswith("network:") and "router" in owner for owner in owners)

    def listed(self, kind: str, query: Sequence[tuple[str, str]] = ()) -> list[dict[str, Any]]:
        """Return the objects of a kind, as "security-groups", all of them without a query.

        NotFoundError: it knows no such kind.
        """
        path = f"/{kind}?{urlencode(query)}" if query else f"/{kind}"
        return list(self.answer(path)[kind.rpartition("/")[2].replace("-", "_")])

    def listed_if_known(
        self, kind: str, query: Sequence[tuple[str, str]] = ()
    ) -> list[dict[str, Any]]:
        """Return the same; nothing, where it takes a plug-in that this Neutron has not."""
        with suppress(NotFoundError):
            return self.listed(kind, query)
        return []

    def network_names(self) -> dict[str, str]:
        """Return the names of all networks by id."""
        fields = [("fields", "id"), ("fields", "name")]
        return {n["id"]: n["name"] for n in self._get("/networks", fields)["networks"]}

    # Agents

    def agents(self) -> list[NeutronAgent]:
        """Return Neutron's agent list."""
        return [answers.agent(found) for found in self._get("/agents")["agents"]]

    def dhcp_agents(self, network_id: str) -> list[NeutronAgent]:
        """Return the DHCP agents that are to serve a network."""
        path = f"/networks/{network_id}/dhcp-agents"
        return [answers.agent(found) for found in self._get(path)["agents"]]

    def delete_agent(self, agent_id: str) -> None:
        """Delete the row of an agent that is gone."""
        with suppress(NotFoundError):
            self._send("DELETE", f"/agents/{agent_id}")

    def project_id(self, ref: str | None = None) -> str:
        """Return the id of a project by name or id; None: of the one that asks.

        Without Keystone a project is whatever it is called.
        """
        self.connect()
        return self._sender.project_id(ref)

    def security_group_id(self, ref: str, project_id: str) -> str:
        """Return the id of the security group with this id, or this name in a project."""
        if is_uuid(ref):
            return ref
        query = [("name", ref), ("project_id", project_id), ("fields", "id")]
        found = self._get("/security-groups", query)["security_groups"]
        if not found:
            raise NotFoundError(f"there is no security group {ref!r}")
        if len(found) > 1:
            ids = ", ".join(sorted(one["id"] for one in found))
            raise ConflictError(f"several security groups are named {ref!r}: {ids}")
        return str(found[0]["id"])

    # As they are

    def answer(self, path: str) -> Mapping[str, Any]:
        """Return what is answered for a path below /v2.0, as "/qos/policies"; not as values."""
        found: Mapping[str, Any] = self._get(path)
        return found

    def write(self, method: str, path: str, body: object = None) -> Any:
        """Send what changes something below /v2.0; return the answer, not as values."""
        return self._send(method, path, body)

    def _subnets(self, network_id: str) -> tuple[Subnet, ...]:
        found = self._get("/subnets", [("network_id", network_id)])["subnets"]
        # IPv4 first, as a port's addresses are usually listed.
        subnets = sorted(map(answers.subnet, found), key=lambda s: (s.ip_version, s.cidr))
        return tuple(subnets)

    # Calls

    def connect(self) -> None:
        """Import keystoneauth, or wait until that is done."""
        with self._connecting:
            _ = self._sender

    def _get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        return self._send("GET", f"{path}?{urlencode(query)}" if query else path)

    def _send(self, method: str, path: str, body: object = None) -> Any:
        self.connect()
        start = time.monotonic()
        try:
            answer = self._sender.send(method, path, body, timeout_s=self.timeout_s)
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
        return answers.checked(answer.status_code, answer.content)

    @cached_property
    def sdk(self) -> openstack.connection.Connection:
        """The SDK's connection to the same Neutron, for what a script does beside VMs."""
        sdk = neutron.sdk.connect(self.endpoint, self._login, timeout_s=self.timeout_s)
        made.hear(sdk.session.session, self._hearing)
        return sdk

    @cached_property
    def _sender(self) -> Sender:
        sender = neutron.sender.Sender(self.endpoint, self._login)
        made.hear(sender.http, self._hearing)
        return sender
