"""What `up` prints: the lab, what its file has changed, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fakevm import display
from fakevm.cli.lab import status
from fakevm.cli.session import say
from fakevm.display import output
from fakevm.names import ADMIN, USERS, lab_words, project
from fakevm.neutron.login import clouds
from fakevm.recipe.settings import AUTH

if TYPE_CHECKING:
    from fakevm.contents.converge import Converged
    from fakevm.labs.up import UpReport

_CHANGES = ("action", "kind", "name", "detail", "outcome", "seconds")


def show_changes(done: Converged, form: str) -> None:
    """Print what would be done."""
    if form != "table":
        output.show({"changes": done.changes, "left": done.left}, form)
    elif done.changes:
        output.show(list(done.changes), form, columns=_CHANGES[:4])
    else:
        say("nothing would be changed")
    _say_left(done)


def _say_left(done: Converged) -> None:
    if done.left:
        say(f"not in the file any more, and left: {', '.join(done.left)} (fakevm up --prune)")


def show(report: UpReport, form: str, done: Converged | None = None) -> None:
    """Print a lab that is up, and what was done in it by its file."""
    if form != "table":
        inside = {"changes": done.changes, "left": done.left} if done else {}
        output.show({**output.plain(report), **output.plain(inside)}, form)
        return
    status.show(report.status)
    if done:
        click.echo()
        if done.changes:
            output.show(list(done.changes), form, columns=_CHANGES)
        else:
            say("all is as the file has it")
        _say_left(done)
    say(f"\nUp in {sum(report.phases.values()):.1f} s: " + _phases(report.phases))
    if report.slowest:
        say(report.slowest)
    flag = lab_words(report.lab)
    say(f"\nFor a client on this machine (fakevm {flag}clouds-yaml), with {_cloud_words(report)}")
    say(
        "Try next:\n"
        f"  fakevm {flag}demo\n"
        f"  fakevm {flag}openstack network agent list\n"
        f"  fakevm {flag}status\n"
        f"  fakevm {flag}down"
    )


def _cloud_words(report: UpReport) -> str:
    """Return what `up` says of clouds.yaml: its entry, where that has no password."""
    name = project(report.lab)
    if AUTH.name in report.status.runs:
        users = ", ".join(f"{name}-{user}" for user in USERS if user != ADMIN)
        return f"OS_CLOUD={name}, {users}\n"
    entry = display.documents.yaml_of(clouds(report.lab, report.endpoint, {}))
    return f"OS_CLOUD={name}:\n\n{entry}"


def _phases(phases: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases.items())
