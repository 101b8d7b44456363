"""Where everything of a lab's picture is drawn: pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fakevm.reach.graph import Edge, Graph, Node

# In pixels of a picture that is not scaled.
MARGIN = 16
GAP = 16
VM_WIDTH, VM_HEIGHT = 176, 36
# On its left run the lines to its networks.
GUTTER = 18
# Where in it a VM's NICs are.
DOT = 9
TITLE_HEIGHT = 28
PILL_HEIGHT = 30
HOST_WIDTH = GUTTER + VM_WIDTH + GAP
# What a character takes on average, in the font's size here.
CHARACTER = 6.3
PILL_WIDTHS = (90, 260)
# What is between networks and hosts, where most lines bend.
BEND = 70

# What has no host of the lab's is drawn in a box of its own.
NOWHERE = ""


@dataclass(frozen=True, kw_only=True)
class Box:
    """Where something is drawn."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """Its middle, from left to right."""
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return self.y + self.height


@dataclass(frozen=True, kw_only=True)
class End:
    """Where a line ends that begins at a network: at a router, or a VM's NIC."""

    edge: Edge
    x: float
    y: float
    on_router: bool


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where everything is drawn: hosts by name, nodes by id."""

    width: float
    height: float
    hosts: Mapping[str, Box]
    nodes: Mapping[str, Box]
    ends: tuple[End, ...]


def layout(graph: Graph) -> Layout:
    """Return where everything is drawn: routers, below them networks, below them hosts.

    Hosts stand in a grid that is about as wide as a screen, VMs one below the other.
    """
    inside = {host: [node.id for node in vms_on(graph, host)] for host in graph.hosts}
    if nowhere := [node.id for node in vms_on(graph, NOWHERE)]:
        inside[NOWHERE] = nowhere
    columns = min(len(inside), math.ceil(math.sqrt(2 * len(inside)))) or 1
    width = max(columns * (HOST_WIDTH + GAP) - GAP, 2 * PILL_WIDTHS[1])
    nodes: dict[str, Box] = {}
    y: float = MARGIN
    for kind in ("router", "network"):
        boxes, y = _rows([node for node in graph.nodes if node.kind == kind], y, width)
        nodes |= boxes
        y += GAP if boxes else 0
    y += BEND if nodes else 0
    hosts: dict[str, Box] = {}
    names = list(inside)
    left = MARGIN + (width - (columns * (HOST_WIDTH + GAP) - GAP)) / 2
    for first in range(0, len(names), columns):
        row = names[first : first + columns]
        height = TITLE_HEIGHT + max(len(inside[host]) for host in row) * (VM_HEIGHT + GAP)
        height = max(height, TITLE_HEIGHT + VM_HEIGHT)
        for column, host in enumerate(row):
            x = left + column * (HOST_WIDTH + GAP)
            hosts[host] = Box(x=x, y=y, width=HOST_WIDTH, height=height)
            for number, vm in enumerate(inside[host]):
                top = y + TITLE_HEIGHT + number * (VM_HEIGHT + GAP)
                nodes[vm] = Box(x=x + GUTTER, y=top, width=VM_WIDTH, height=VM_HEIGHT)
        y += height + GAP
    return Layout(
        width=width + 2 * MARGIN,
        height=y + MARGIN - GAP,
        hosts=hosts,
        nodes=nodes,
        ends=tuple(_ends(graph, nodes)),
    )


def _rows(nodes: Sequence[Node], y: float, width: float) -> tuple[dict[str, Box], float]:
    """Return where nodes stand, centred, in as many rows as they need, and where these end."""
    rows: list[list[tuple[str, float]]] = [[]]
    for node in nodes:
        low, high = PILL_WIDTHS
        wide = min(max(len(node.label) * CHARACTER + 28, low), high)
        if rows[-1] and sum(one + GAP for _, one in rows[-1]) + wide > width:
            rows.append([])
        rows[-1].append((node.id, wide))
    boxes: dict[str, Box] = {}
    for row in filter(None, rows):
        x = MARGIN + (width - sum(wide + GAP for _, wide in row) + GAP) / 2
        for node_id, wide in row:
            boxes[node_id] = Box(x=x, y=y, width=wide, height=PILL_HEIGHT)
            x += wide + GAP
        y += PILL_HEIGHT + GAP
    return boxes, y


def vms_on(graph: Graph, host: str) -> Iterator[Node]:
    """Yield the VMs of a host; NOWHERE: of none of the lab's."""
    for node in graph.nodes:
        if node.kind == "vm" and (node.host if node.host in graph.hosts else NOWHERE) == host:
            yield node


def _ends(graph: Graph, nodes: Mapping[str, Box]) -> Iterator[End]:
    routers = {node.id for node in graph.nodes if node.kind == "router"}
    edges_of: dict[str, list[Edge]] = {}
    for edge in graph.edges:
        edges_of.setdefault(edge.node, []).append(edge)
    for node_id, edges in edges_of.items():
        box = nodes[node_id]
        for number, edge in enumerate(edges, 1):
            if node_id in routers:
                yield End(edge=edge, x=box.middle, y=box.bottom, on_router=True)
            else:
                y = box.y + box.height * number / (len(edges) + 1)
                yield End(edge=edge, x=box.x - GUTTER + DOT, y=y, on_router=False)
