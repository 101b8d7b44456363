"""Where a packet goes, on stdout."""

from __future__ import annotations

import click

from fakevm.display import output
from fakevm.trace.values import Trace


def show(found: Trace) -> None:
    """Print a packet's way, a line a hop, and how it ends."""
    counted = found.sent is not None
    rows = [
        [
            output.visible(hop.host or "-"),
            output.visible(hop.where),
            output.visible(hop.what),
            *([output.cell(hop.packets)] if counted else []),
        ]
        for hop in found.hops
    ]
    if rows:
        output.table(rows, ["host", "where", "what", *(["packets"] if counted else [])])
    if found.sent:
        click.echo(_sent(found))
    click.echo(output.visible(found.verdict))


def _sent(found: Trace) -> str:
    sent = found.sent
    assert sent is not None
    if sent.error:
        return f"live: {output.visible(sent.error)}"
    return f"live: {sent.answers} of {sent.packets} packets were answered"
