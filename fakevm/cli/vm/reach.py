"""Who reaches whom, and by which way."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fakevm import display
from fakevm.cli import complete
from fakevm.cli.session import Session, format_option, lab_option, pass_session

if TYPE_CHECKING:
    from fakevm.backends.packet import Protocol


@click.command()
@click.option("--all", "everyone", is_flag=True, help="All VMs, as without a word.")
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["table", "json", "yaml", "junit"]),
    default="table",
    show_default=True,
    help="How the result is printed.",
)
@lab_option
@click.argument("refs", metavar="[VM|VIF]...", nargs=-1, shell_complete=complete.vms)
@click.pass_context
def ping(ctx: click.Context, *, refs: tuple[str, ...], everyone: bool, form: str) -> None:
    """Ping from every VM to every VM, and compare with what Neutron's objects say.

    A silence that should not be is a failure, and so is an answer that should not come, by
    networks, routers and security groups: then the exit code is 1. Of some VMs, if they are named.
    """
    if everyone and refs:
        raise click.UsageError("--all and VMs exclude each other.")
    session = ctx.find_object(Session)
    assert session is not None
    with session.lab() as lab:
        matrix = lab.ping(refs)
    if form == "table":
        display.matrix.show(matrix)
    elif form == "junit":
        click.echo(display.matrix.junit(matrix))
    else:
        display.output.show(matrix, form)
    ctx.exit(1 if matrix.failures else 0)


@click.command()
@click.option(
    "--proto",
    "protocol",
    type=click.Choice(["icmp", "tcp", "udp"]),
    default="icmp",
    show_default=True,
    help="What is sent: an echo request, or the first packet to a port.",
)
@click.option("--port", metavar="N", type=click.IntRange(1, 65535), help="Of tcp and udp.")
@click.option("--live", is_flag=True, help="Send some packets, and count them on the way.")
@format_option
@lab_option
@click.argument("source", metavar="VM|VIF", shell_complete=complete.vms)
@click.argument("target", metavar="VM|VIF", shell_complete=complete.vms)
@click.pass_context
def trace(
    ctx: click.Context,
    *,
    source: str,
    target: str,
    protocol: Protocol,
    port: int | None,
    live: bool,
    form: str,
) -> None:
    """Say where a packet goes from one VM to another: host by host, and what drops it.

    Nothing is sent, unless --live is given. The exit code is 1 where it does not arrive.
    """
    if (protocol == "icmp") != (port is None):
        raise click.UsageError("--port goes with --proto tcp or udp, and they with --port.")
    session = ctx.find_object(Session)
    assert session is not None
    with session.lab() as lab:
        found = lab.trace(source, target, protocol=protocol, port=port, live=live)
    if form == "table":
        display.way.show(found)
    else:
        display.output.show(found, form)
    ctx.exit(0 if found.arrives else 1)


@click.command()
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["mermaid", "dot", "svg", "html", "json", "yaml"]),
    default="mermaid",
    show_default=True,
    help="In whose words: Mermaid's, as pages of Git forges draw it; Graphviz's; a browser's; or as"
    " values.",
)
@lab_option
@pass_session
def graph(session: Session, *, form: str) -> None:
    """Print the lab as a picture: hosts, VMs, networks, routers, and what is down."""
    with session.lab() as lab:
        found = lab.graph()
    match form:
        case "mermaid":
            click.echo(display.graph.mermaid(found))
        case "dot":
            click.echo(display.graph.dot(found))
        case "svg":
            click.echo(display.picture.svg(found))
        case "html":
            click.echo(display.picture.html(found))
        case _:
            display.output.show({**asdict(found), "down": sorted(found.down)}, form)
