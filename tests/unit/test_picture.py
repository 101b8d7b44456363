"""A lab as a picture that a browser shows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree

import pytest

from fakevm.display import picture
from fakevm.display.layout import NOWHERE, Box, layout
from fakevm.reach.graph import Edge, Graph, Node

SVG = "{http://www.w3.org/2000/svg}"


def make_lab(*, hosts: int = 3, vms: int = 6, networks: int = 2, routers: int = 1) -> Graph:
    names = tuple(f"compute-{number}" for number in range(1, hosts + 1))
    nodes = [
        *(
            Node(id=f"n{n}", label=f"net-{n} 10.{n}.0.0/24", kind="network")
            for n in range(networks)
        ),
        *(Node(id=f"r{n}", label=f"router-{n}", kind="router") for n in range(routers)),
        *(
            Node(
                id=f"v{n}", label=f"vm-{n}", kind="vm", host=names[n % hosts] if n else "elsewhere"
            )
            for n in range(vms)
        ),
    ]
    edges = [
        *(Edge(node=f"v{n}", network=f"n{n % networks}", label=f"10.0.0.{n}") for n in range(vms)),
        *(Edge(node=f"r{n}", network=f"n{n % networks}") for n in range(routers)),
        *([Edge(node="v1", network="n0")] if vms > 1 else []),
    ]
    down = frozenset(names[1:2])
    return Graph(lab="demo", hosts=names, down=down, nodes=tuple(nodes), edges=tuple(edges))


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.bottom
        and other.y < one.bottom
    )


@pytest.mark.parametrize(
    "graph",
    [
        make_lab(),
        make_lab(hosts=50, vms=100, networks=40, routers=9),
        make_lab(hosts=1, vms=30),
        make_lab(hosts=1, vms=0, networks=0, routers=0),
    ],
    ids=["small", "large", "one host", "empty"],
)
def test_everything_has_its_place(graph: Graph) -> None:
    plan = layout(graph)
    assert set(plan.nodes) == {node.id for node in graph.nodes}
    everything = [*plan.hosts.values(), *plan.nodes.values()]
    assert all(one.x >= 0 and one.x + one.width <= plan.width for one in everything)
    assert all(one.y >= 0 and one.bottom <= plan.height for one in everything)
    for boxes in (plan.hosts.values(), plan.nodes.values()):
        assert not [pair for pair in combinations(boxes, 2) if overlap(*pair)]
    for node in graph.nodes:
        if node.kind == "vm":
            host = plan.hosts[node.host if node.host in graph.hosts else NOWHERE]
            box = plan.nodes[node.id]
            assert host.x < box.x
            assert host.y < box.y
            assert box.bottom < host.bottom
    assert len(plan.ends) == len(graph.edges)
    assert plan.width < 3000


def test_a_vm_says_which_it_is_and_what_is_down_is_told() -> None:
    root = ElementTree.fromstring(picture.svg(make_lab()))
    assert [group.get("data-vm") for group in groups(root, "vm")] == [f"v{n}" for n in range(6)]
    hosts = {group.get("data-host"): group for group in groups(root, "host")}
    assert list(hosts) == ["compute-1", "compute-2", "compute-3", NOWHERE]
    assert hosts["compute-2"].findtext(f"{SVG}text") == "compute-2 is down"
    vm = next(groups(root, "vm"))
    assert [one.text for one in vm] == ["vm-0", None, "vm-0", "10.0.0.0"]


def groups(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (one for one in root.iter(f"{SVG}g") if name in str(one.get("class")).split())


@pytest.mark.parametrize(
    "name", ['<script>alert("1")</script>', "a&b", "\x00\x01\ud800", "]]>", "'"]
)
def test_nothing_of_a_name_means_more_than_itself(name: str) -> None:
    node = Node(id=name, label=name, kind="vm", host=name)
    graph = Graph(lab=name, hosts=(name,), down=frozenset(), nodes=(node,), edges=())
    root = ElementTree.fromstring(picture.svg(graph))
    (vm,) = groups(root, "vm")
    told = "".join(c if c.isprintable() else "\ufffd" for c in name)
    assert (vm.get("data-vm"), vm.findtext(f"{SVG}title")) == (told, told)
    assert {one.tag.removeprefix(SVG) for one in root.iter()} == {
        *("svg", "title", "style", "rect", "g", "text"),
    }


def test_a_page_fetches_nothing() -> None:
    page = picture.html(make_lab())
    assert "default-src 'none'" in page
    assert page.count("<svg") == 1
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
