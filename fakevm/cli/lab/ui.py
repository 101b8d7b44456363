"""The live page."""

from __future__ import annotations

import threading

import click

from fakevm import ui
from fakevm.cli.session import Session, lab_option, pass_session, say


@click.command("ui")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Where on 127.0.0.1 the page is.  [default: any that is free]",
)
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
@lab_option
@pass_session
def page(session: Session, *, port: int | None, opens: bool) -> None:
    """Show the lab as a live page in a browser: the picture, events, migrations.

    Drag a VM onto another host, and it migrates. The page is on 127.0.0.1, and needs the token
    that is in its URL. Ctrl-C ends it.
    """
    with session.lab() as lab:
        # There is such a lab.
        _ = lab.containers
    with ui.server.serving(session.lab_name, session.lab_saying, port=port or 0) as server:
        click.echo(server.url)
        if opens:
            click.launch(server.url)
        try:
            threading.Event().wait()
        finally:
            if moving := server.moves.running:
                say(f"waiting until {', '.join(moving)} has migrated")
