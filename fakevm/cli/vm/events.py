"""What Neutron tells Nova, and fakevm's own steps."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from fakevm import clients
from fakevm.cli import complete
from fakevm.cli.session import Session, lab_option, pass_session
from fakevm.display import output
from fakevm.errors import NotFoundError

if TYPE_CHECKING:
    from fakevm.clients.events import Choice, Entry
    from fakevm.lab import Lab

# How often it is looked whether somebody still reads what --follow prints.
_LOOK_S = 1.0

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}

# Cursors are microseconds since the epoch: all of this century's have as many digits.
_CURSOR_LEN = 16

_WIDTHS = {"time": 12, "source": 16, "what": 24, "status": 11, "answer": 6, "port": 36, "vm": 36}
_SHORT = 8


def _cursor(_ctx: click.Context, _param: click.Parameter, text: str) -> int:
    try:
        return since(text, now=time.time())
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def since(text: str, *, now: float) -> int:
    """Return the cursor that is meant by a cursor, "5m", a time of day or a date and time.

    Raises ValueError.
    """
    if text.isascii() and text.isdigit():
        if text != "0" and len(text) != _CURSOR_LEN:
            raise ValueError(
                f"{text!r} is no cursor (`seq` in -f json); is {text}s or {text}m meant?"
            )
        return int(text)
    if match := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)", text):
        return clients.events.cursor_at(now - float(match[1]) * _UNITS[match[2]])
    present = datetime.fromtimestamp(now)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(f"{present.date()}T{text}")
        except ValueError:
            raise ValueError(
                f"{text!r} is no time: a cursor, 5m, 10:30, 10:30:15.250 or 2026-01-31T10:30"
            ) from None
        # It is in the past, so late in the evening may be yesterday's.
        if moment.timestamp() > now:
            moment -= timedelta(days=1)
    return clients.events.cursor_at(moment.timestamp())


@click.command()
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "--vif",
    "ref",
    metavar="VIF",
    help="Only of this port, and of its VM as a whole.",
    shell_complete=complete.ports,
)
@click.option(
    "--since",
    "after",
    callback=_cursor,
    metavar="WHEN",
    default="0",
    help="Not what came before: 5m, 10:30, a date and time, or a cursor (`seq` in -f json).",
)
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How it is printed; json is one object a line.",
)
@lab_option
@pass_session
def events(session: Session, *, follow: bool, ref: str | None, after: int, form: str) -> None:
    """Show what Neutron told Nova, with fakevm's own steps between, in order of arrival.

    ANSWER is what Nova's API said: 200, or why nobody got the event (404: no such server).
    """
    with session.lab() as lab:
        choice = _choice(lab, ref) if ref else None
        if form == "table":
            _line([name.upper() for name in _WIDTHS])
        batches = lab.events.follow(after, look_s=_LOOK_S) if follow else [lab.events.kept(after)]
        for batch in batches:
            for entry in batch:
                if choice is None or choice.has(entry):
                    _show(entry, form)
            if follow and not output.is_read():
                return


def _choice(lab: Lab, ref: str) -> Choice:
    """Return which entries a user means with a VIF, which may be gone already."""
    try:
        port = lab.find(ref, whole=False)
    except NotFoundError:
        of_port = re.fullmatch(r"[0-9a-f]{8}[0-9a-f-]{0,28}", ref.lower()) and [
            entry for entry in lab.events.kept() if entry.port_id.startswith(ref.lower())
        ]
        if not of_port:
            raise
        instance_ids = frozenset(entry.instance_id for entry in of_port)
        return clients.events.Choice(port_id=ref.lower(), instance_ids=instance_ids)
    return clients.events.Choice(port_id=port.id, instance_ids=frozenset({port.device_id} - {""}))


def _show(entry: Entry, form: str) -> None:
    if form == "json":
        click.echo(json.dumps(asdict(entry), ensure_ascii=False))
        return
    length = _SHORT if sys.stdout.isatty() else None
    _line(
        [
            _clock(entry.time),
            entry.source,
            entry.name,
            entry.status,
            str(entry.code) if entry.kind == "event" else "-",
            entry.port_id[:length] or "-",
            entry.instance_id[:length],
        ]
    )


def _clock(moment: float) -> str:
    """Return a local time with milliseconds, with its date where that is not today's."""
    then = datetime.fromtimestamp(moment)
    form = "milliseconds"
    if then.date() == datetime.now().date():
        return then.time().isoformat(form)
    return then.isoformat(" ", form)


def _line(cells: list[str]) -> None:
    widths = list(_WIDTHS.values())
    if sys.stdout.isatty():
        widths[-2:] = [_SHORT, _SHORT]
    padded = (output.visible(text).ljust(width) for text, width in zip(cells, widths, strict=True))
    click.echo("  ".join(padded).rstrip())
