"""A lab as a picture: hosts with their VMs, networks, routers, and what is down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fakevm import inventory
from fakevm.clients.at_once import each
from fakevm.clients.parts import Parts
from fakevm.inventory.rows import Row
from fakevm.reach.read import GATEWAY, INTERFACES

Kind = Literal["vm", "network", "router"]
Found = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Node:
    """Something that is drawn."""

    id: str
    label: str
    kind: Kind
    # A VM's host.
    host: str = ""
    down: bool = False


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A VM's or a router's port on a network."""

    node: str
    network: str
    label: str = ""
    down: bool = False
    # A VM's: its status, and where Neutron and the host differ, in words.
    port_id: str = ""
    status: str = ""
    differs: str = ""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The picture, as values."""

    lab: str
    # By name; and those that do not run.
    hosts: tuple[str, ...]
    down: frozenset[str]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def of(lab: Parts) -> Graph:
    """Return the lab as it is now."""
    rows = inventory.overview.rows(lab)
    kinds = ("networks", "subnets", "routers", "ports")
    networks, subnets, routers, ports = each(lab.neutron.listed_if_known, kinds)
    nodes, edges = drawn(rows, networks=networks, subnets=subnets, routers=routers, ports=ports)
    return Graph(
        lab=lab.name,
        hosts=tuple(sorted(container.service for container in lab.computes)),
        down=frozenset(container.service for container in lab.computes if not container.is_well),
        nodes=tuple(nodes),
        edges=tuple(edges),
    )


def drawn(
    rows: Sequence[Row],
    *,
    networks: Iterable[Found],
    subnets: Sequence[Found],
    routers: Sequence[Found],
    ports: Iterable[Found],
) -> tuple[list[Node], list[Edge]]:
    """Return what is drawn of VMs' ports and of Neutron's objects."""
    nodes = {
        network["id"]: Node(
            id=network["id"],
            label=" ".join(
                [
                    network["name"] or network["id"][:8],
                    *(one["cidr"] for one in subnets if one["network_id"] == network["id"]),
                ]
            ),
            kind="network",
            down=not network["admin_state_up"],
        )
        for network in networks
    }
    for router in routers:
        label = router["name"] or router["id"][:8]
        down = not router["admin_state_up"]
        nodes[router["id"]] = Node(id=router["id"], label=label, kind="router", down=down)
    edges = []
    for row in rows:
        nodes[row.instance_id] = Node(
            id=row.instance_id,
            label=row.vm_name,
            kind="vm",
            host=row.host,
            down="is paused" in row.differs or not row.plugged_host,
        )
        if row.network_id in nodes:
            addresses = ", ".join(ip["ip_address"] for ip in row.fixed_ips)
            edges.append(
                Edge(
                    node=row.instance_id,
                    network=row.network_id,
                    label=addresses,
                    down=row.status != "ACTIVE",
                    port_id=row.port_id,
                    status=row.status,
                    differs=row.differs,
                )
            )
    known = {router["id"] for router in routers}
    for port in ports:
        owner = port["device_owner"]
        # Neutron was asked for networks at the same time: one may be newer than its answer.
        if port["network_id"] not in nodes or port["device_id"] not in known:
            continue
        if owner.startswith((*INTERFACES, GATEWAY)):
            label = "gateway" if owner == GATEWAY else ""
            edges.append(Edge(node=port["device_id"], network=port["network_id"], label=label))
    # A network that nothing is on says nothing; Neutron has some of its own, of routers.
    used = {edge.network for edge in edges}
    return [n for n in nodes.values() if n.kind != "network" or n.id in used], edges
