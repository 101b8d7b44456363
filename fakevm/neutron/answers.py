"""Neutron's answers as values, or as our errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fakevm.errors import (
    ConfigError,
    ConflictError,
    FakevmError,
    NotFoundError,
    UnavailableError,
)
from fakevm.neutron.values import Binding, Network, NeutronAgent, Port, PortIp, Subnet


class NeutronFaultError(FakevmError):
    """Neutron failed inside (status 500)."""


class UnauthorizedError(FakevmError):
    """Neutron wants to know who asks (status 401)."""


def checked(status: int, body: bytes) -> Any:
    """Return the JSON of an answer; raise what its status says as one of our errors."""
    if status < 400:
        return json.loads(body) if body else None
    try:
        told = json.loads(body)["NeutronError"]
        message = told if isinstance(told, str) else told["message"]
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace").strip()[:500] or f"status {status}"
    kinds = {
        400: ConfigError,
        401: UnauthorizedError,
        404: NotFoundError,
        409: ConflictError,
        503: UnavailableError,
    }
    kind = kinds.get(status, NeutronFaultError if status >= 500 else FakevmError)
    raise kind(f"Neutron: {' '.join(message.split())}")


def port(found: Mapping[str, Any]) -> Port:
    """Return a port."""
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


def binding(found: Mapping[str, Any]) -> Binding:
    """Return a binding."""
    return Binding(
        host=found["host"],
        status=found["status"],
        vif_type=found["vif_type"],
        vif_details=found["vif_details"] or {},
        vnic_type=found.get("vnic_type") or "normal",
        profile=found.get("profile") or {},
    )


def network(found: Mapping[str, Any], subnets: tuple[Subnet, ...]) -> Network:
    """Return a network with its subnets."""
    return Network(
        id=found["id"],
        name=found["name"],
        mtu=found["mtu"],
        type=found.get("provider:network_type") or "",
        subnets=subnets,
    )


def subnet(found: Mapping[str, Any]) -> Subnet:
    """Return a subnet."""
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


# neutron/common/ovn/constants.py, OVN_CONTROLLER_GW_AGENT.
OVN_GATEWAY = "OVN Controller Gateway agent"


def agent(found: Mapping[str, Any]) -> NeutronAgent:
    """Return a row of the agent list."""
    configurations = found.get("configurations") or {}
    return NeutronAgent(
        id=found["id"],
        binary=found["binary"],
        host=found["host"],
        alive=found["alive"],
        admin_state_up=found["admin_state_up"],
        datapath=configurations.get("datapath_type", ""),
        is_gateway=found.get("agent_type") == OVN_GATEWAY,
        l2population=configurations.get("l2_population"),
    )
