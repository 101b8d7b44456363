"""A lab as a picture, in the words of Mermaid and of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator

from fakevm.reach.graph import Graph, Node

# What stands around a node's label.
_MERMAID = {"vm": ('["', '"]'), "network": ('(["', '"])'), "router": ('{{"', '"}}')}
_DOT = {"vm": "box", "network": "ellipse", "router": "hexagon"}


def mermaid(graph: Graph) -> str:
    """Return it as a flowchart of Mermaid's."""
    names = _names(graph)
    lines = ["flowchart LR"]
    for number, host in enumerate((*graph.hosts, "")):
        inside = [f"{names[node.id]}{_shape(node)}" for node in _on(graph, host)]
        if host:
            label = f"{host} is down" if host in graph.down else host
            inside = [f'subgraph h{number}["{_text(label)}"]', *_indented(inside), "end"]
        lines += _indented(inside)
    for edge in graph.edges:
        label = f'|"{_text(edge.label)}"|' if edge.label else ""
        line = "-.-" if edge.down else "---"
        lines.append(f"    {names[edge.node]} {line}{label} {names[edge.network]}")
    if down := [names[node.id] for node in graph.nodes if node.down]:
        lines.append("    classDef down stroke-dasharray: 5 5,opacity:0.6")
        lines.append(f"    class {','.join(down)} down")
    return "\n".join(lines)


def dot(graph: Graph) -> str:
    """Return it as a graph of Graphviz's."""
    names = _names(graph)
    lines = [f"graph {_quoted(graph.lab)} {{", "    rankdir=LR;"]
    for number, host in enumerate((*graph.hosts, "")):
        inside = [
            f"{names[node.id]} [label={_quoted(node.label)}, shape={_DOT[node.kind]}"
            + (", style=dashed];" if node.down else "];")
            for node in _on(graph, host)
        ]
        if host:
            label = f"{host} is down" if host in graph.down else host
            head = [f"subgraph cluster_{number} {{", f"    label={_quoted(label)};"]
            inside = [*head, *_indented(inside), "}"]
        lines += _indented(inside)
    for edge in graph.edges:
        style = ", style=dashed" if edge.down else ""
        ends = f"{names[edge.node]} -- {names[edge.network]}"
        lines.append(f"    {ends} [label={_quoted(edge.label)}{style}];")
    return "\n".join([*lines, "}"])


def _names(graph: Graph) -> dict[str, str]:
    return {node.id: f"n{number}" for number, node in enumerate(graph.nodes, 1)}


def _on(graph: Graph, host: str) -> Iterator[Node]:
    """Yield a host's nodes; "": those that are on none of the lab's."""
    for node in graph.nodes:
        if (node.host if node.host in graph.hosts else "") == host:
            yield node


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _shape(node: Node) -> str:
    before, after = _MERMAID[node.kind]
    return f"{before}{_text(node.label)}{after}"


def _text(label: str) -> str:
    """Return a label in which nothing means more to Mermaid than itself."""
    return "".join(c if c.isalnum() or c in " .,:/-_" else f"#{ord(c)};" for c in label)


def _quoted(label: str) -> str:
    escaped = label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
