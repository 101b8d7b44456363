"""The lab file: begun, checked, written of a lab."""

from __future__ import annotations

from pathlib import Path

import click

from fakevm import labfile
from fakevm.cli.session import Session, format_option, lab_option, pass_session, say
from fakevm.display import output
from fakevm.errors import NotFoundError
from fakevm.names import lab_words

topo_option = click.option(
    "-t",
    "--topo",
    metavar="FILE|DIR|-",
    help="The lab file, a folder that has a fakevm.yaml, or - for stdin."
    "  [default: fakevm.yaml of the working folder, if it has one]",
)


@click.command()
@lab_option
@click.argument("file", default=labfile.find.NAME, type=click.Path(path_type=Path))
@pass_session
def init(session: Session, *, file: Path) -> None:
    """Write a commented lab file to begin with, fakevm.yaml or FILE; it overwrites nothing."""
    labfile.find.write_new(file, labfile.starter.starter(session.lab_name))
    named = "" if file.name == labfile.find.NAME and file.parent == Path() else f" -t {file}"
    say(f"wrote {file}; next: fakevm up{named}")


@click.command()
@lab_option
@topo_option
@format_option
@pass_session
def validate(session: Session, *, topo: str | None, form: str) -> None:
    """Check a lab file, without a lab and without Docker; all that is wrong is told at once.

    Each error begins with FILE:LINE:COLUMN. The exit code is 2 then.
    """
    text = labfile.find.text(topo)
    if text is None:
        raise NotFoundError(
            f"there is no {labfile.find.NAME} in the working folder", hint="fakevm init"
        )
    found = labfile.document.read(text.data, text.name)
    kinds = (
        *("networks", "routers", "security_groups", "qos_policies"),
        *("vms", "trunks", "floating_ips"),
    )
    counts = {kind: len(getattr(found, kind)) for kind in kinds}
    output.show({"file": text.name, "lab": found.name or session.lab_name, **counts}, form)


@click.command()
@click.option(
    "-w",
    "--write",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write it here, where no file is yet.  [default: print it]",
)
@lab_option
@pass_session
def save(session: Session, *, file: Path | None) -> None:
    """Print a lab file for the lab as it is: `up` of it makes such a lab anew, and changes none."""
    with session.lab() as lab:
        saved = lab.save()
    for words in saved.unsaid:
        say(f"warning: a lab file has no words for {words}")
    text = labfile.starter.modeline() + labfile.source.written(saved.values)
    if file is None:
        click.echo(text, nl=False)
        return
    labfile.find.write_new(file, text)
    say(f"wrote {file}; `fakevm {lab_words(session.lab_name)}up -t {file}` makes the same lab")
