"""A lab as a picture, in the words of Mermaid and Graphviz."""

from __future__ import annotations

from typing import Any

import pytest

from fakevm.display import graph as display
from fakevm.inventory.rows import Row
from fakevm.reach.graph import Edge, Graph, Node, drawn
from tests.fakes.cloud import FakeCloud
from tests.unit.conftest import World
from tests.unit.test_labfile import up

NETWORKS = [
    {"id": "a", "name": "front", "admin_state_up": True},
    {"id": "b", "name": "", "admin_state_up": False},
    {"id": "unused", "name": "ha", "admin_state_up": True},
]
SUBNETS = [{"id": "s", "network_id": "a", "cidr": "10.0.0.0/24"}]
ROUTERS = [{"id": "r", "name": "r1", "admin_state_up": True}]


def make_row(name: str, **values: Any) -> Row:
    made: dict[str, Any] = dict.fromkeys(Row.__dataclass_fields__, "")
    made |= {
        "vm_name": name,
        "port_id": "p",
        "instance_id": f"id-of-{name}",
        "host": "compute-1",
        "plugged_host": "compute-1",
        "status": "ACTIVE",
        "network_id": "a",
        "fixed_ips": ({"ip_address": "10.0.0.5", "subnet_id": "s"},),
        "addresses": (),
    }
    return Row(**(made | values))


def make_port(owner: str, network: str) -> dict[str, str]:
    return {"device_id": "r", "device_owner": owner, "network_id": network}


def make_graph(*rows: Row, ports: tuple[dict[str, str], ...] = ()) -> Graph:
    nodes, edges = drawn(rows, networks=NETWORKS, subnets=SUBNETS, routers=ROUTERS, ports=ports)
    return Graph(
        lab="fakevm",
        hosts=("compute-1", "compute-2"),
        down=frozenset({"compute-2"}),
        nodes=tuple(nodes),
        edges=tuple(edges),
    )


def test_a_network_that_came_between_two_answers_is_drawn_later() -> None:
    graph = make_graph(
        make_row("web", network_id="new"), ports=(make_port("network:router_interface", "new"),)
    )
    assert graph.edges == ()
    assert {node.kind for node in graph.nodes} == {"vm", "router"}


def test_a_lab_without_a_router_plug_in_is_drawn(world: World, cloud: FakeCloud) -> None:
    cloud.lacked |= {"routers"}
    text = """\
networks: {blue: {subnets: [{cidr: 10.1.0.0/24, enable_dhcp: false}]}}
vms: {web: {host: compute-1, nics: [blue]}}
"""
    with world.lab() as lab:
        assert not up(lab, text).errors
        assert {node.kind for node in lab.graph().nodes} == {"vm", "network"}


def test_what_is_used_is_drawn() -> None:
    ports = (
        make_port("network:router_interface", "a"),
        make_port("network:router_interface_distributed", "b"),
        make_port("network:router_gateway", "b"),
        make_port("network:dhcp", "unused"),
    )
    graph = make_graph(make_row("web"), ports=ports)
    assert [(node.kind, node.label, node.down) for node in graph.nodes] == [
        ("network", "front 10.0.0.0/24", False),
        ("network", "b", True),
        ("router", "r1", False),
        ("vm", "web", False),
    ]
    assert graph.edges == (
        Edge(node="id-of-web", network="a", label="10.0.0.5", port_id="p", status="ACTIVE"),
        Edge(node="r", network="a"),
        Edge(node="r", network="b"),
        Edge(node="r", network="b", label="gateway"),
    )


@pytest.mark.parametrize(
    ("row", "vm_down", "edge_down"),
    [
        (make_row("web"), False, False),
        (make_row("web", status="DOWN"), False, True),
        (make_row("web", plugged_host=""), True, False),
        (make_row("web", differs="VM web is paused"), True, False),
    ],
)
def test_what_is_down_is_drawn_so(row: Row, vm_down: bool, edge_down: bool) -> None:
    graph = make_graph(row)
    assert [node.down for node in graph.nodes if node.kind == "vm"] == [vm_down]
    assert [edge.down for edge in graph.edges] == [edge_down]


def test_mermaid_has_hosts_as_boxes() -> None:
    graph = make_graph(make_row("web"), make_row("db", host="", plugged_host="", status="DOWN"))
    assert display.mermaid(graph).splitlines() == [
        "flowchart LR",
        '    subgraph h0["compute-1"]',
        '        n3["web"]',
        "    end",
        '    subgraph h1["compute-2 is down"]',
        "    end",
        '    n1(["front 10.0.0.0/24"])',
        '    n2{{"r1"}}',
        '    n4["db"]',
        '    n3 ---|"10.0.0.5"| n1',
        '    n4 -.-|"10.0.0.5"| n1',
        "    classDef down stroke-dasharray: 5 5,opacity:0.6",
        "    class n4 down",
    ]


def test_graphviz_has_hosts_as_clusters() -> None:
    text = display.dot(make_graph(make_row("web", status="DOWN")))
    assert text.startswith('graph "fakevm" {\n    rankdir=LR;\n    subgraph cluster_0 {\n')
    assert '        n3 [label="web", shape=box];' in text
    assert '    n3 -- n1 [label="10.0.0.5", style=dashed];' in text
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize("name", ['a"]; click n1 "javascript:x"', "<b>&", "z\\", "漢字\n"])
def test_a_name_is_never_more_than_a_label(name: str) -> None:
    node = Node(id="n", label=name, kind="vm")
    graph = Graph(lab=name, hosts=(), down=frozenset(), nodes=(node,), edges=())
    (line,) = display.mermaid(graph).splitlines()[1:]
    assert line.startswith('    n1["')
    assert line.endswith('"]')
    assert not set(line[8:-2]) & set('"<>[](){}|`')
    dot = display.dot(graph)
    assert dot.count("\n") == 3
    assert dot.replace("\\\\", "").replace('\\"', "").count('"') == 4
