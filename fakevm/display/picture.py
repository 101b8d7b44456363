"""A lab as a picture that a browser shows: SVG, and a page around it that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape

from fakevm.display.layout import CHARACTER, DOT, GAP, GUTTER, Box, Layout, layout
from fakevm.reach.graph import Edge, Graph, Node

# Networks', in turn: told apart also by who sees colours differently (Okabe and Ito, 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b59f00", "#7a5fd0", "#8c6d46")

# Side by side between two columns of hosts, so that lines of different networks are told apart.
LANES = 5

STYLE = """
.lab {
  --paper: #fff; --panel: #f4f6f8; --ink: #1a2027; --muted: #5b6572; --line: #cdd4dc;
  --bad: #c0261a
}
@media (prefers-color-scheme: dark) {
  .lab {
    --paper: #10141a; --panel: #181e26; --ink: #e7ebf0; --muted: #9ba6b4; --line: #36404d;
    --bad: #ff7b70
  }
}
.lab text { font: 12px system-ui, "Segoe UI", sans-serif; fill: var(--ink) }
.lab .small { font-size: 10.5px; fill: var(--muted) }
.lab .host > rect { fill: var(--panel); stroke: var(--line) }
.lab .host > text { font-weight: 600 }
.lab .vm > rect, .lab .router > path { fill: var(--paper); stroke: var(--muted) }
.lab .network > rect { fill: var(--paper); stroke-width: 2 }
.lab .edge { fill: none; stroke-width: 1.6; opacity: .75 }
.lab .down > rect, .lab .down > path, .lab path.down { stroke-dasharray: 5 4 }
.lab .host.down > text, .lab .vm.down > .small { fill: var(--bad) }
.lab .node.down > text { opacity: .7 }
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<!-- Nothing is fetched, and nothing is sent. -->
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ margin: 0 }} svg {{ display: block; max-width: 100%; height: auto; margin: auto }}
@media (prefers-color-scheme: dark) {{ body {{ background: #10141a }} }}
</style>
</head>
<body>
{svg}
</body>
</html>"""


def svg(graph: Graph) -> str:
    """Return the lab as SVG; nothing of a name in it means more than itself.

    A VM's and a host's group say which one it is: data-vm, data-host.
    """
    plan = layout(graph)
    networks = [node.id for node in graph.nodes if node.kind == "network"]
    colours = {one: COLOURS[number % len(COLOURS)] for number, one in enumerate(networks)}
    size = f'width="{plan.width:g}" height="{plan.height:g}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lab" role="img" {size}'
        f' viewBox="0 0 {plan.width:g} {plan.height:g}">',
        f"<title>{text(graph.lab)}</title>",
        f"<style>{STYLE}</style>",
        '<rect width="100%" height="100%" style="fill: var(--paper)"/>',
        *_hosts(graph, plan),
        *_lines(graph, plan, colours),
        *(line for node in graph.nodes for line in _node(node, plan, colours, graph.edges)),
        "</svg>",
    ]
    return "\n".join(lines)


def html(graph: Graph) -> str:
    """Return the lab as a page."""
    return PAGE.format(title=text(graph.lab), svg=svg(graph))


def text(words: str) -> str:
    """Return words as they stand in SVG and HTML, without what XML can't have."""
    return escape(re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", words))


def _hosts(graph: Graph, plan: Layout) -> Iterator[str]:
    for host, box in plan.hosts.items():
        down = host in graph.down
        words = f"{host} is down" if down else host or "on no host of the lab's"
        yield (
            f'<g class="host{" down" if down else ""}" data-host="{text(host)}">{_rect(box, 8)}'
            f'<text x="{box.x + GUTTER:g}" y="{box.y + 19:g}">{_cut(words, box.width)}</text></g>'
        )


def _node(
    node: Node, plan: Layout, colours: Mapping[str, str], edges: Iterable[Edge]
) -> Iterator[str]:
    box = plan.nodes[node.id]
    attributes = f'class="node {node.kind}{" down" if node.down else ""}"'
    if node.kind == "vm":
        attributes += f' data-vm="{text(node.id)}"'
    yield f"<g {attributes}><title>{text(node.label)}</title>"
    if node.kind == "router":
        yield f'<path d="{_hexagon(box)}"/>{_centred(node.label, box)}'
    elif node.kind == "network":
        yield _rect(box, box.height / 2, colours[node.id]) + _centred(node.label, box)
    else:
        addresses = ", ".join(edge.label for edge in edges if edge.node == node.id and edge.label)
        yield _rect(box, 5)
        for words, below, style in ((node.label, 15, ""), (addresses, 29, ' class="small"')):
            place = f'x="{box.x + 10:g}" y="{box.y + below:g}"'
            yield f"<text {place}{style}>{_cut(words, box.width - 12)}</text>"
    yield "</g>"


def _lines(graph: Graph, plan: Layout, colours: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines: a router's straight; a VM's beside its column of hosts, then to it."""
    lanes = {network: 2.0 * (number % LANES - LANES // 2) for number, network in enumerate(colours)}
    top = min((host.y for host in plan.hosts.values()), default=0)
    dots = []
    for end in plan.ends:
        network, colour = plan.nodes[end.edge.network], colours[end.edge.network]
        if end.on_router:
            path = f"M{end.x:g} {end.y:g}L{network.middle:g} {network.y:g}"
        else:
            half = (network.bottom + top) / 2
            beside = end.x - DOT - GAP / 2 + lanes[end.edge.network]
            path = (
                f"M{network.middle:g} {network.bottom:g}"
                f"C{network.middle:g} {half:g} {beside:g} {half:g} {beside:g} {top:g}"
                f"V{end.y:g}H{end.x:g}"
            )
            dots.append(f'<circle cx="{end.x:g}" cy="{end.y:g}" r="3.5" fill="{colour}"/>')
        style = f'class="edge{" down" if end.edge.down else ""}" stroke="{colour}"'
        yield f'<path {style} d="{path}"/>'
    yield from dots


def _rect(box: Box, radius: float, stroke: str = "") -> str:
    place = f'x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
    line = f' stroke="{stroke}"' if stroke else ""
    return f'<rect {place} rx="{radius:g}"{line}/>'


def _hexagon(box: Box) -> str:
    left, right, middle = box.x, box.x + box.width, box.y + box.height / 2
    corners = (
        *((left, middle), (left + 10, box.y), (right - 10, box.y)),
        *((right, middle), (right - 10, box.bottom), (left + 10, box.bottom)),
    )
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in corners) + "Z"


def _centred(words: str, box: Box) -> str:
    place = f'x="{box.middle:g}" y="{box.y + 19:g}"'
    return f'<text {place} text-anchor="middle">{_cut(words, box.width - 20)}</text>'


def _cut(words: str, width: float) -> str:
    """Return so much of words as has room."""
    room = int(width / CHARACTER)
    return text(words if len(words) <= room else f"{words[: room - 1]}…")
