"""Scenarios: does this lab's Neutron have a fault?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fakevm import scenarios, shortcut
from fakevm.cli import complete
from fakevm.cli.pages import report_option, write
from fakevm.cli.session import (
    Session,
    format_option,
    lab_option,
    pass_session,
    say,
    timeout_option,
)
from fakevm.display import output
from fakevm.errors import ConfigError, FakevmError

if TYPE_CHECKING:
    from fakevm.scenarios.scenario import Scenario
    from fakevm.shortcut.offers import Offer

_COLUMNS = ("name", "letter", "tries", "title", "reference")


@complete.offering
def _names(_ctx: click.Context, _begun: str) -> list[Offer]:
    return [shortcut.offers.Offer(name) for name in scenarios.names.NAMES]


@click.group()
@lab_option
def scenario() -> None:
    """Find out whether the lab's Neutron has a known fault."""


@scenario.command("list")
@lab_option
@format_option
def list_(form: str) -> None:
    """Show the scenarios: what each shows, and the bug that it belongs to."""
    output.show([_described(one) for one in scenarios.known.SCENARIOS], form, columns=_COLUMNS)


@scenario.command()
@report_option
@click.option(
    "--tries",
    type=click.IntRange(min=1),
    help="How often it is tried at most.  [default: the scenario's own number, which `list` shows]",
)
@lab_option
@timeout_option
@format_option
@click.argument("name", shell_complete=_names)
@click.pass_context
@pass_session
def run(
    session: Session,
    ctx: click.Context,
    *,
    name: str,
    report_file: Path | None,
    tries: int | None,
    timeout_s: float,
    form: str,
) -> None:
    """Carry out the scenario NAME on networks and VMs of its own.

    One that is about a race is tried several times before Neutron is called sound.

    Exit code 0: Neutron is sound; 10: the fault is there; 1: it could not be carried out.
    """
    chosen = scenarios.known.find(name)
    if report_file and not chosen.migrates:
        raise ConfigError(f"--report: {chosen.name} has no migration to show", hint="-f json")
    try:
        with session.lab(timeout_s=timeout_s) as lab:
            version = lab.neutron_version
            finding = scenarios.tries.carry_out(
                chosen, lab, tries=tries, timeout_s=timeout_s, say=say
            )
    except FakevmError as error:
        raise _could_not_run(chosen, error) from error
    if finding.report:
        write(finding.report, report_file)
    told: dict[str, Any] = {
        "scenario": chosen.name,
        "neutron": version,
        "outcome": "fault" if finding.fault else "sound",
        "found": finding.words,
        "expected": chosen.expects,
        "reference": chosen.reference,
    }
    measured = {"measured": dict(finding.measured)} if form != "table" else _flat(finding.measured)
    output.show({**told, **measured}, form)
    ctx.exit(scenarios.scenario.FAULT if finding.fault else scenarios.scenario.SOUND)


def _described(scenario: Scenario) -> dict[str, object]:
    return {
        "name": scenario.name,
        "letter": scenario.letter,
        "tries": scenario.tries,
        "title": scenario.title,
        "shows": scenario.shows,
        "reference": scenario.reference,
        "expects": scenario.expects,
    }


def _could_not_run(scenario: Scenario, error: FakevmError) -> FakevmError:
    """Return an error with the exit code that scripts know, whatever went wrong."""
    told = FakevmError(f"{scenario.name} could not be carried out: {error}", hint=error.hint)
    for note in getattr(error, "__notes__", ()):
        told.add_note(note)
    return told


def _flat(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was measured, a line for each value."""
    flat: dict[str, Any] = {}
    for name, value in measured.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}, {key}": one for key, one in value.items()}
        else:
            flat[name] = value
    return {name.replace("_", " "): value for name, value in flat.items()}
