"""What the lab's containers say, and all that can be seen of it as one archive."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

import fakevm.logs
from fakevm.cli.session import SECONDS, Session, lab_option, pass_session, say
from fakevm.display import output
from fakevm.errors import ConfigError

if TYPE_CHECKING:
    from fakevm.logs.bug_report import BugReport
    from fakevm.logs.lines import Line

# Instead of a file: stdout.
_STDOUT = Path("-")


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "--tail",
    metavar="N",
    type=click.IntRange(min=0),
    help="The last lines of each container alone.  [default: all]",
)
@click.option(
    "--since", "since_s", metavar="SECONDS", type=SECONDS, help="What was said so long ago at most."
)
@click.option("--process", metavar="NAME", help="The lines of one process in hosts: l2-agent, …")
@click.option(
    "--export",
    "export",
    metavar="FILE.tgz",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write an archive for a bug report instead: logs, configuration, flows, Neutron's objects,"
    " events, versions; no passwords. `-`: to stdout.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How it is printed; json is one object a line.",
)
@lab_option
@click.argument("names", metavar="[HOST|SERVICE]...", nargs=-1)
@pass_session
def logs(
    session: Session,
    *,
    follow: bool,
    tail: int | None,
    since_s: float | None,
    process: str | None,
    export: Path | None,
    form: str,
    names: tuple[str, ...],
) -> None:
    """Show what hosts and services say, all or these, in the order of time.

    Before each line are its container and, in a host, its process.
    """
    if export:
        if follow or tail is not None or since_s or process or names:
            raise click.UsageError("--export takes all there is: it goes with --format alone.")
        _export(session, export, form)
        return
    wanted = fakevm.logs.lines.Wanted(
        names=names,
        process=process,
        tail=tail,
        since=time.time() - since_s if since_s else None,
    )
    colours: dict[str, str] = {}
    with session.lab() as lab:
        for batch in lab.follow_logs(wanted) if follow else lab.logs(wanted):
            if batch:
                click.echo("\n".join(_shown(batch, form, colours)))
            if follow and not output.is_read():
                return


def _shown(batch: Iterable[Line], form: str, colours: dict[str, str]) -> Iterable[str]:
    """Return lines as they are printed; a container keeps the colour that it got first."""
    if form == "json":
        return [json.dumps(asdict(line), ensure_ascii=False) for line in batch]
    terminal = sys.stdout.isatty()
    shown = []
    for line in batch:
        head = " ".join(filter(None, (line.container, line.process))) + " |"
        if terminal:
            head = output.coloured(head, line.container, colours)
        shown.append(f"{head} {_text(line.text)}".rstrip())
    return shown


def _text(text: str) -> str:
    """Return a line's text without colours of its own, and nothing else for a terminal to obey."""
    return text if text.isprintable() else output.visible(click.unstyle(text).expandtabs())


def _export(session: Session, file: Path, form: str) -> None:
    with session.lab(timeout_s=fakevm.logs.bug_report.COMMAND_S) as lab:
        if file != _STDOUT:
            report = lab.bug_report(file)
        elif sys.stdout.isatty():
            raise ConfigError("an archive is nothing for a terminal: give --export a file's name")
        else:
            report = lab.bug_report(sys.stdout.buffer)
    _tell(report, file)
    if form == "json" and file != _STDOUT:
        output.show(report, "json")


def _tell(report: BugReport, file: Path) -> None:
    for name in report.failed:
        say(f"warning: {name} is not there, or not whole: {name}.error says why")
    say(f"bug report: {file} ({len(report.files)} files)")
