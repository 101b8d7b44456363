"""Moving VMs to other hosts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

import fakevm.migrate
import fakevm.reports
from fakevm import display, protocol, shortcut
from fakevm.cli import complete
from fakevm.cli.pages import report_option, write
from fakevm.cli.session import (
    Number,
    Session,
    format_option,
    lab_option,
    pass_session,
    plugging_options,
    timeout_option,
)
from fakevm.display import output
from fakevm.errors import ConfigError, FakevmError

if TYPE_CHECKING:
    from fakevm.lab import Lab
    from fakevm.migrate.look import Look
    from fakevm.migrate.move import Move
    from fakevm.migrate.request import MigrationRequest
    from fakevm.neutron.values import HttpRequest
    from fakevm.protocol.steps import Protocol
    from fakevm.reports.migration import MigrationReport, MoveKind
    from fakevm.shortcut.offers import Offer
    from fakevm.vms.requests import Plugging

# The options by what they mean.
_ENDINGS = {"confirm": "confirm", "open": "no-confirm", "revert": "revert"}

_STEPS = ("step", "actor", "source", "undo")


def _delay(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> dict[str, float]:
    delays = {}
    for text in values:
        step, _, seconds = text.rpartition("=")
        try:
            delays[step] = float(seconds)
        except ValueError:
            raise ConfigError(f"--delay {text}: STEP=SECONDS is expected") from None
        if not step or not 0 <= delays[step] <= 3600:
            raise ConfigError(f"--delay {text}: STEP=SECONDS is expected, at most 3600")
    return delays


def _step_names(ctx: click.Context) -> list[str]:
    """Return the steps of the migration that is chosen on the line."""
    ending = ctx.params.get("ending")
    kind: MoveKind = "revert" if ending == "revert" else ctx.params.get("kind") or "live"
    return fakevm.migrate.request.protocol(
        kind,
        post_copy=not ctx.params.get("pre_copy", True),
        confirm=ending != "open",
    ).names()


@complete.offering
def _steps(ctx: click.Context, _begun: str) -> list[Offer]:
    return [shortcut.offers.Offer(name) for name in _step_names(ctx)]


@complete.offering
def _delayed(ctx: click.Context, _begun: str) -> list[Offer]:
    return [shortcut.offers.Offer(f"{name}=") for name in _step_names(ctx)]


@complete.offering
def _probes(ctx: click.Context, begun: str) -> list[Offer]:
    return [*shortcut.offers.ports(complete.lab(ctx), begun), shortcut.offers.Offer("dhcp")]


@complete.offering
def _words(ctx: click.Context, begun: str) -> list[Offer]:
    """Return hosts for DST and ports for VIF, of which the options may want one alone."""
    typed, ending = len(ctx.params.get("words") or ()), ctx.params.get("ending")
    ref_alone = bool(ctx.params.get("abort")) or ending == "revert"
    lab, found = complete.lab(ctx), []
    if typed == 0 and not ref_alone:
        found += shortcut.offers.hosts(lab)
    # --confirm may have a DST or none.
    if typed == (0 if ref_alone else 1) or (typed == 0 and ending == "confirm"):
        found += shortcut.offers.ports(lab, begun)
    return found


@click.command()
@click.option("--live", "kind", flag_value="live", default="live", help="The default.")
@click.option("--cold", "kind", flag_value="cold", help="The VM is off while it moves.")
@click.option("--evacuate", "kind", flag_value="evacuate", help="Its host is down.")
@click.option(
    "--pre-copy/--post-copy",
    "pre_copy",
    default=True,
    help="Whether the guest stands still until its binding is activated.  [default: pre-copy]",
)
@click.option(
    "--confirm",
    "ending",
    flag_value="confirm",
    help="With --cold: at once (the default); without DST, a migration that was not confirmed.",
)
@click.option("--no-confirm", "ending", flag_value="open", help="With --cold: leave it open.")
@click.option(
    "--revert", "ending", flag_value="revert", help="With --cold: go back, if not confirmed."
)
@click.option("--force", is_flag=True, help="Evacuate although the host is up.")
@click.option(
    "--host",
    metavar="SRC",
    help="The host where the VM is; checked if it is given.",
    shell_complete=complete.hosts,
)
@click.option(
    "--probe",
    "probes",
    metavar="FROM",
    multiple=True,
    help="Measure what is lost between the VM and this VIF, or `dhcp`; can be repeated.",
    shell_complete=_probes,
)
@click.option(
    "--rate",
    type=Number(min=1, max=1000),
    default=100,
    show_default=True,
    help="Packets a second of each flow.",
)
@report_option
@click.option("--repeat", metavar="N", type=click.IntRange(min=1), help="Go back and forth.")
@click.option("--dry-run", is_flag=True, help="Only show the steps.")
@click.option("--trace", is_flag=True, help="Show each request to Neutron on stderr.")
@click.option("--abort", is_flag=True, help="Clean up after one that was killed, or a shelve.")
@click.option("--late-tap", is_flag=True, help="Make the device after its OVS port.")
@click.option("--no-migrating-to", is_flag=True, help="Leave `migrating_to` unwritten.")
@click.option("--skip-wait", is_flag=True, help="Do not wait for network-vif-plugged.")
@click.option("--no-rarp", is_flag=True, help="Do not announce the guest on the destination.")
@click.option(
    "--delay",
    "delays",
    metavar="STEP=SECONDS",
    multiple=True,
    callback=_delay,
    help="Wait before a step; can be repeated.",
    shell_complete=_delayed,
)
@click.option("--fail-at", metavar="STEP", help="Let a step fail.", shell_complete=_steps)
@plugging_options
@lab_option
@timeout_option
@format_option
@click.argument("words", metavar="DST VIF", nargs=-1, shell_complete=_words)
@pass_session
def migrate(
    session: Session,
    *,
    words: tuple[str, ...],
    kind: MoveKind,
    ending: str | None,
    pre_copy: bool,
    force: bool,
    host: str | None,
    probes: tuple[str, ...],
    rate: float,
    report_file: Path | None,
    repeat: int | None,
    dry_run: bool,
    trace: bool,
    abort: bool,
    late_tap: bool,
    no_migrating_to: bool,
    skip_wait: bool,
    no_rarp: bool,
    delays: dict[str, float],
    fail_at: str | None,
    plugging: Plugging,
    timeout_s: float,
    form: str,
) -> None:
    """Move the VM that has a port to the host DST as Nova does, with all its NICs.

    `migrate --cold --no-confirm DST VIF` leaves the VM to be looked at, and then `--cold --confirm
    VIF` or `--cold --revert VIF` ends it. With --probe it is measured what the VM lost, and in
    which step. `migrate --abort VIF` and `migrate --dry-run` need no DST.
    """
    if ending and kind != "cold":
        raise ConfigError(f"--{_ENDINGS[ending]} is for a cold migration: give --cold, too")
    faults = protocol.steps.Faults(delays=delays, fail_at=fail_at)
    if report_file and repeat:
        raise ConfigError("--report shows one migration, --repeat makes several: leave one out")
    if repeat and ending in ("open", "revert"):
        raise ConfigError(f"--repeat and --{_ENDINGS[ending]}: leave one out")
    kind = "revert" if ending == "revert" else kind
    confirm = ending != "open"
    if dry_run:
        if abort:
            raise ConfigError("--dry-run shows a migration's steps, not --abort's: leave one out")
        if words:
            _expect(words, *(["VIF"] if kind == "revert" else ["DST", "VIF"]))
        chosen = fakevm.migrate.request.protocol(kind, post_copy=not pre_copy, confirm=confirm)
        faults.check(chosen.names())
        _show_steps(chosen, form)
        return
    if abort or (ending == "confirm" and len(words) == 1):
        (ref,) = _expect(words, "VIF")
        with session.lab(timeout_s=timeout_s) as lab:
            if abort:
                done = lab.abort_migration(ref)
            else:
                done = [f"confirmed that it came from {lab.confirm_migration(ref)}"]
        output.show([{"done": one} for one in done], form, columns=("done",))
        return
    destination, ref = (
        ("", *_expect(words, "VIF")) if kind == "revert" else _expect(words, "DST", "VIF")
    )
    request = fakevm.migrate.request.MigrationRequest(
        destination=destination,
        source=host,
        kind=kind,
        post_copy=not pre_copy,
        confirm=confirm,
        force=force,
        switches=fakevm.migrate.move.Switches(
            plugging=plugging,
            migrating_to=not no_migrating_to,
            wait=not skip_wait,
            rarp=not no_rarp,
            late_tap=late_tap,
        ),
        faults=faults,
        probes=probes,
        rate=rate,
        watch=bool(report_file),
        timeout_s=timeout_s,
    )
    with session.lab(timeout_s=timeout_s) as lab:
        with _shown(lab) as on_begin:
            reports, failures = _back_and_forth(
                *(lab, ref, request, repeat or 1),
                on_request=partial(_trace, lab.say) if trace else _no_trace,
                on_begin=on_begin,
                on_report=lambda report: write(report, report_file),
            )
        if reports:
            _show(reports, form, repeated=bool(repeat))
        if failures:
            if repeat:
                failures[0].add_note(f"so ended {len(failures)} of {len(reports)} migrations")
            raise failures[0]


@contextmanager
def _shown(lab: Lab) -> Iterator[Callable[[Callable[[], Look]], None]]:
    """Give what shows a migration while it runs: on a terminal, below what else is said."""
    if not sys.stderr.isatty():
        yield lambda _look: None
        return
    moving, before = display.moving, lab.say
    with display.live.Below() as below:
        lab.say = below.say
        try:
            yield lambda look: below.draw(lambda: moving.lines(look()))
        finally:
            lab.say = before


def _show_steps(chosen: Protocol[Move], form: str) -> None:
    steps = [
        {
            "step": step.name,
            "actor": step.actor,
            "source": step.source,
            "undo": chosen.undo_of(step.name),
        }
        for step in (*chosen.steps, *chosen.after)
    ]
    output.show(steps, form, columns=_STEPS)


def _expect(words: Sequence[str], *names: str) -> Sequence[str]:
    if len(words) != len(names):
        raise click.UsageError(f"expected {' '.join(names)}, not {len(words)} arguments")
    return words


def _back_and_forth(
    lab: Lab,
    ref: str,
    request: MigrationRequest,
    times: int,
    *,
    on_request: Callable[[HttpRequest], None],
    on_begin: Callable[[Callable[[], Look]], None],
    on_report: Callable[[MigrationReport], None],
) -> tuple[list[MigrationReport], list[FakevmError]]:
    """Migrate, and again, each time back to where the VM came from; return the failures, too.

    The first that does not arrive is the last one.
    """
    reports: list[MigrationReport] = []
    failures: list[FakevmError] = []

    def keep(report: MigrationReport) -> None:
        reports.append(report)
        on_report(report)

    for number in range(1, times + 1):
        if times > 1:
            lab.say(f"migration {number} of {times}, to {request.destination}")
        try:
            lab.migrate(ref, request, on_request=on_request, on_begin=on_begin, on_report=keep)
        except FakevmError as error:
            failures.append(error)
            if number == times or len(reports) < number or reports[-1].outcome != "unsettled":
                break
            lab.say(str(error))
        request = replace(request, destination=reports[-1].source, source=None)
    return reports, failures


def _trace(say: Callable[[str], None], request: HttpRequest) -> None:
    ms = (request.end - request.start) * 1e3
    say(f"{request.method} {request.path} {request.body} → {request.status} in {ms:.0f} ms")


def _no_trace(_request: HttpRequest) -> None:
    """Say nothing."""


def _show(reports: Sequence[MigrationReport], form: str, *, repeated: bool) -> None:
    tables = fakevm.reports.tables
    if form != "table":
        output.show(reports if repeated else reports[0], form)
        return
    last = output.plain(reports[-1])
    output.show(_summary(reports[-1], fakevm.reports.words.verdict(last)), form)
    output.show(tables.step_rows(last), form, columns=tables.STEP_COLUMNS)
    if reports[-1].flows:
        output.show(tables.flow_rows(last), form, columns=tables.FLOW_COLUMNS)
    if repeated:
        output.show(tables.percentiles(reports), form, columns=tables.PERCENTILE_COLUMNS)


def _summary(report: MigrationReport, verdict: str) -> dict[str, object]:
    return {
        "verdict": verdict,
        "vm": report.vm,
        "instance_id": report.instance_id,
        "kind": report.kind,
        "source": report.source,
        "destination": report.destination,
        "seconds": round(report.ended - report.started, 3),
        "ports": list(report.port_ids),
        "not moved": list(report.processes.values()),
    }
