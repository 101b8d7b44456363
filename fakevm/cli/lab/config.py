"""Commands on Neutron's own processes: what they are configured with, and that they begin anew."""

from __future__ import annotations

import click

from fakevm.cli import complete
from fakevm.cli.session import (
    SECONDS,
    Session,
    format_option,
    lab_option,
    pass_session,
    say,
)
from fakevm.display import output

_COLUMNS = ("service", "process", "group", "option", "value", "file")


@click.group()
@lab_option
def config() -> None:
    """Look at the configuration of Neutron's processes; `fakevm up --config` lays files over it."""


@config.command()
@lab_option
@click.argument("host", required=False, shell_complete=complete.services)
@click.option("--process", help="Of one process alone, as l2-agent.")
@format_option
@pass_session
def show(session: Session, *, host: str | None, process: str | None, form: str) -> None:
    """Show what each process was started with, and the file that has the last word on it.

    HOST is a host, or one of Neutron's services; all of them by default.
    """
    with session.lab() as lab:
        found = lab.configuration(host)
    chosen = [setting for setting in found if process in (None, setting.process)]
    output.show([vars(setting) for setting in chosen], form, columns=_COLUMNS)


@click.command()
@lab_option
@click.option("--only", metavar="PROCESS", help="This process alone: l2-agent, dhcp-agent, api, …")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=SECONDS,
    default=120,
    show_default=True,
    help="How long they may take to be well again.",
)
@click.argument("services", metavar="[HOST]...", nargs=-1, shell_complete=complete.services)
@format_option
@pass_session
def restart(
    session: Session, *, services: tuple[str, ...], only: str | None, timeout_s: float, form: str
) -> None:
    """Start Neutron's processes anew, with the code and the configuration that are there now.

    In these hosts or services, or in all. Hosts and VMs stay as they are.
    """
    with session.lab() as lab:
        done = lab.restart(services, only=only, timeout_s=timeout_s)
    if form != "table":
        output.show(done, form)
        return
    for one in done:
        say(f"{one.service}: {', '.join(one.processes)} ({one.seconds:.1f} s)")
