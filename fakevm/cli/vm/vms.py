"""Commands in VMs and on them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import click

from fakevm import display
from fakevm.cli import complete
from fakevm.cli.session import (
    SECONDS,
    Session,
    format_option,
    host_option,
    lab_option,
    pass_session,
    port_argument,
    timeout_option,
)
from fakevm.display import terminal
from fakevm.errors import ConfigError, raise_all

_RAW = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command("exec", context_settings=_RAW)
@host_option
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=SECONDS,
    help="End the command after this time.  [default: never]",
)
@click.option(
    "-i/-n",
    "--stdin/--no-stdin",
    "stdin",
    default=None,
    help="Pass our stdin on, or not.  [default: unless it is a terminal]",
)
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["raw", "json", "yaml"]),
    default="raw",
    help="Its output as it comes, or at the end as a result.",
)
@click.option("--all", "everywhere", is_flag=True, help="In every VM at once, instead of VIF's.")
@click.option(
    "--on",
    "selectors",
    metavar="SELECTOR",
    multiple=True,
    help="In these VMs at once: a name, with * and ? for what may be there, host=NAME or"
    " network=NAME; again and again.",
)
@lab_option
@click.argument(
    "words_given",
    metavar="[VIF] COMMAND...",
    nargs=-1,
    type=click.UNPROCESSED,
    shell_complete=complete.first(complete.ports),
)
@click.pass_context
def execute(
    ctx: click.Context,
    *,
    words_given: tuple[str, ...],
    host: str | None,
    timeout_s: float | None,
    stdin: bool | None,
    form: str,
    everywhere: bool,
    selectors: tuple[str, ...],
) -> None:
    """Run a command in the VM that has a port; its exit code is ours.

    COMMAND is one string ("ip link"), split into words as a shell does but never given to one, or
    several words (-- ip link).

    With --all or --on it runs in many VMs at once, without stdin; the exit code is 1 if any failed.
    """
    session = ctx.find_object(Session)
    assert session is not None
    if everywhere or selectors:
        if host or stdin or (everywhere and selectors):
            raise click.UsageError("--all, --on, --host and --stdin exclude each other.")
        if not words_given:
            raise click.UsageError("Missing argument 'COMMAND...'.")
        ctx.exit(_in_many(session, selectors, words(words_given), timeout_s=timeout_s, form=form))
    if len(words_given) < 2:
        missing = "COMMAND..." if words_given else "VIF"
        raise click.UsageError(f"Missing argument '{missing}'.")
    ref, *command = words_given
    argv = words(command)
    passed = not terminal.interactive() if stdin is None else stdin
    with session.execute(ref, argv, host=host, timeout_s=timeout_s, stdin=passed) as execution:
        if passed:
            terminal.pass_stdin(execution)
        if form == "raw":
            terminal.pass_output(execution)
        else:
            terminal.show_result(execution, form)
    ctx.exit(execution.exit_code)


def _in_many(
    session: Session,
    selectors: Sequence[str],
    argv: Sequence[str],
    *,
    timeout_s: float | None,
    form: str,
) -> int:
    """Run a command in many VMs, print what came of it, and return the exit code."""
    results = session.execute_in(selectors, argv, timeout_s=timeout_s)
    if form == "raw":
        display.several.show(results)
    else:
        display.output.show(results, form)
    return 1 if any(one.exit_code for one in results) else 0


def words(command: Sequence[str]) -> list[str]:
    """Return the words of a command: after `--` as they are, else of one string its words."""
    if command[0] == "--":
        argv = list(command[1:])
    elif len(command) == 1:
        try:
            argv = shlex.split(command[0])
        except ValueError as error:
            raise ConfigError(f"{command[0]!r}: {error}") from error
    else:
        argv = list(command)
    if not argv:
        raise ConfigError("a command is missing")
    return argv


@click.command(context_settings=_RAW)
@host_option
@lab_option
@port_argument
@click.argument("command", metavar="[COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def shell(ctx: click.Context, *, ref: str, command: tuple[str, ...], host: str | None) -> None:
    """Open a shell, or another command, with a terminal in the VM that has a port."""
    session = ctx.find_object(Session)
    assert session is not None
    argv = words(command) if command else ["bash"]
    size = terminal.size()
    with (
        session.execute(ref, argv, host=host, terminal=size, stdin=True) as execution,
        terminal.raw(execution),
    ):
        terminal.pass_stdin(execution)
        terminal.pass_output(execution)
    ctx.exit(execution.exit_code)


@click.command("delete-vm")
@lab_option
@timeout_option
@format_option
@click.argument(
    "instances", metavar="INSTANCE...", nargs=-1, required=True, shell_complete=complete.vms
)
@pass_session
def delete_vm(session: Session, *, instances: tuple[str, ...], timeout_s: float, form: str) -> None:
    """Delete VMs as Nova does: ports that they were given are unbound, the others deleted.

    A port of which nobody can tell is unbound, too. One VM that fails does not keep the others;
    what is left of it the same command deletes.
    """
    with session.lab(timeout_s=timeout_s) as lab:
        deleted, failures = lab.delete_vms(instances)
        shown = [{"port_id": port_id} for port_id in deleted]
        display.output.show(shown, form, columns=("port_id",))
        raise_all(failures)
