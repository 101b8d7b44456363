"""Commands on the configuration of Neutron's processes."""

from __future__ import annotations

import click

from fakevm.cli.session import Session, format_option, lab_option, pass_session
from fakevm.display import output

_COLUMNS = ("service", "process", "group", "option", "value", "file")


@click.group()
@lab_option
def config() -> None:
    """Look at the configuration of Neutron's processes; `fakevm up --config` lays files over it."""


@config.command()
@lab_option
@click.argument("host", required=False)
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
