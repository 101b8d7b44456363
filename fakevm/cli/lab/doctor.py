"""Whether a lab would work on this machine."""

from __future__ import annotations

import click

from fakevm import backends, recipe
from fakevm.cli.session import Session, format_option, name_option, pass_session
from fakevm.display import output

# The exit code where a lab would not work.
FAILED = 3

_MARKS = {"ok": "✓", "warning": "!", "failed": "✗"}


@click.command()
@name_option
@click.option(
    "--computes",
    type=click.IntRange(1, 64),
    envvar=["FAKEVM_DOCTOR_COMPUTES", "FAKEVM_UP_COMPUTES"],
    help="With how many compute hosts.  [default: as many as the lab has, or 3]",
)
@click.option(
    "--backend",
    type=click.Choice([backend.name for backend in backends.known.BACKENDS]),
    envvar=["FAKEVM_DOCTOR_BACKEND", "FAKEVM_UP_BACKEND", "FAKEVM_BACKEND"],
    help="With which backend.  [default: the lab's, or ovs]",
)
@format_option
@pass_session
@click.pass_context
def doctor(
    ctx: click.Context, session: Session, *, computes: int | None, backend: str | None, form: str
) -> None:
    """Say whether a lab would work on this machine, and what mends it; nothing is changed.

    The exit code is 3 where it would not.
    """
    found = session.doctor(recipe.settings.Wishes(computes=computes, backend=backend))
    if form == "table":
        rows = [{**vars(one), "": _MARKS[one.state]} for one in found]
        output.show(rows, form, columns=("", "check", "found", "needed", "mend"))
    else:
        output.show(found, form)
    if any(one.state == "failed" for one in found):
        ctx.exit(FAILED)
