"""What the verbs of a lab take and return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fakevm.vifs import Addressing, Row


@dataclass(frozen=True, kw_only=True)
class PortRequest:
    """A port and the VM that gets it, as the user wishes them."""

    network: str
    instance: str
    host: str | None = None
    name: str | None = None
    fixed_ips: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    port_security: bool = True
    vnic_type: str = "normal"
    addressing: Addressing = "dhcp"


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Where the time of a `create_port` went, in seconds."""

    # Imports and connections, once a process.
    startup_s: float
    neutron_s: float
    plug_s: float
    active_s: float
    configure_s: float
    # All the rest, which is ours.
    other_s: float
    total_s: float


@dataclass(frozen=True, kw_only=True)
class CreatedPort:
    """A port that was created and plugged."""

    row: Row
    timings: Timings


@dataclass(frozen=True, kw_only=True)
class HostResult:
    """What came of a request to one of several hosts."""

    host: str
    port_id: str
    changed: bool
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Migrated:
    """A VM that has moved."""

    instance_id: str
    vm_name: str
    source: str
    destination: str
    port_ids: tuple[str, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """A network or compute host, as Docker, Neutron and its own agent see it."""

    host: str
    role: str
    state: str
    l2_agent: str
    datapath: str
    vms: int | None
    vifs: int | None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """One of the control plane's services."""

    service: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Status:
    """A lab at a glance."""

    lab: str
    endpoint: str
    neutron: str
    services: tuple[ServiceStatus, ...]
    hosts: tuple[HostStatus, ...]


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something of a port that is gone, on a host."""

    host: str
    kind: str
    name: str
    port_id: str | None
