"""The lab at a glance, once or for as long as it is watched."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fakevm import display, labs
from fakevm.cli.session import Session, format_option, lab_option, pass_session, timeout_option
from fakevm.display import output

if TYPE_CHECKING:
    from fakevm.lab import Lab
    from fakevm.labs.status import Status

_HOSTS = ("host", "role", "state", "l2_agent", "datapath", "vms", "vifs")

# How long the next look is waited for; with the look itself it is not two seconds.
WATCH_S = 1.5

_WELL = ("healthy", "running")


@click.command()
@click.option(
    "-w",
    "--watch",
    is_flag=True,
    help="Look again every two seconds, until Ctrl-C, also while there is no lab; on a pipe, and"
    " with -f json, a JSON document a line.",
)
@lab_option
@timeout_option
@format_option
@pass_session
def status(session: Session, *, watch: bool, timeout_s: float, form: str) -> None:
    """Show the lab's services and hosts, and what Neutron says of their agents."""
    with session.lab(timeout_s=_patience(timeout_s) if watch else timeout_s) as lab:
        if watch:
            _watch(lab, form)
            return
        found = lab.status()
    if form == "table":
        show(found)
    else:
        output.show(found, form)


def show(found: Status) -> None:
    """Print a lab at a glance as tables."""
    for number, (rows, columns) in enumerate(_tables(found)):
        if number:
            click.echo()
        output.table(rows, columns)


def _patience(timeout_s: float) -> float:
    return min(timeout_s, labs.watch.ANSWER_S)


def _watch(lab: Lab, form: str) -> None:
    if form == "table" and sys.stdout.isatty():
        with display.live.screen(f"looking at {lab.name} …") as draw:
            for found in lab.watch():
                draw(_headline(found), _tables(found))
                time.sleep(WATCH_S)
    for found in lab.watch():
        output.show_next(found, "yaml" if form == "yaml" else "json")
        if not output.is_read(within_s=WATCH_S):
            return


def _headline(found: Status) -> str:
    """Return what stands above a lab that is watched, also where the screen has no room for all."""
    ill = [f"{one.service} is {one.state}" for one in found.services if one.state not in _WELL]
    ill += [f"{one.host} is {one.state}" for one in found.hosts if one.state not in _WELL]
    ill += [f"{one.host}'s L2 agent is down" for one in found.hosts if one.l2_agent == "down"]
    words = f"{len(found.services)} services, {len(found.hosts)} hosts"
    return f"{found.lab}  {time.strftime('%X')}  {', '.join(ill) or words}"


def _tables(found: Status) -> list[tuple[list[list[str]], Sequence[str]]]:
    """Return rows and columns of each table that shows a lab."""
    details = tuple(dict.fromkeys(name for host in found.hosts for name in host.details))
    errors = ("error",) if any(host.error for host in found.hosts) else ()
    columns = (*_HOSTS, *details, *errors)
    hosts = [{**vars(host), **host.details} for host in found.hosts]
    services = [[one.service, one.state] for one in found.services]
    tables: list[tuple[list[list[str]], Sequence[str]]] = [
        # One that has ended says nothing of what others say of themselves.
        ([[output.cell(host.get(name)) for name in columns] for host in hosts], columns),
        ([*services, ["API", f"{found.endpoint or '-'} ({found.neutron})"]], ()),
    ]
    if found.runs:
        tables.append(([[name, value] for name, value in found.runs.items()], ()))
    return tables
