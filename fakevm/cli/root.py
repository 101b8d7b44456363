"""The command line: `fakevm`."""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

import fakevm.cli
from fakevm.cli import complete
from fakevm.errors import FakevmError
from fakevm.protocol.interrupt import Terminated, raise_on_sigterm

# Section → command → its module and function. A module is imported with the first command in it.
COMMANDS: Mapping[str, Mapping[str, str]] = {
    "The lab": {
        "init": "lab.labfile:init",
        "validate": "lab.labfile:validate",
        "up": "lab.labs:up",
        "save": "lab.labfile:save",
        "build": "lab.labs:build",
        "down": "lab.labs:down",
        "status": "lab.status:status",
        "doctor": "lab.doctor:doctor",
        "logs": "lab.logs:logs",
        "graph": "vm.reach:graph",
        "ui": "lab.ui:page",
        "join": "lab.join:join",
        "leave": "lab.join:leave",
        "config": "lab.config:config",
        "restart": "lab.config:restart",
        "openstack": "lab.clients:openstack",
        "ovn": "lab.clients:ovn",
        "clouds-yaml": "lab.clients:clouds_yaml",
        "demo": "lab.demo:demo",
    },
    "Ports": {
        "create-port": "vm.ports:create_port",
        "delete-port": "vm.ports:delete_port",
        "plug": "vm.ports:plug",
        "unplug": "vm.ports:unplug",
        "attach": "vm.ports:attach",
        "detach": "vm.ports:detach",
        "unplug-all-host": "vm.ports:unplug_all_host",
        "list": "vm.ports:list_",
        "show": "vm.ports:show",
        "cleanup": "vm.ports:cleanup",
    },
    "VMs": {
        "exec": "vm.vms:execute",
        "shell": "vm.vms:shell",
        "ping": "vm.reach:ping",
        "trace": "vm.reach:trace",
        "capture": "vm.capture:capture",
        "migrate": "vm.moves:migrate",
        "reboot": "vm.lifecycle:reboot",
        "rebuild": "vm.lifecycle:rebuild",
        "pause": "vm.lifecycle:pause",
        "unpause": "vm.lifecycle:unpause",
        "suspend": "vm.lifecycle:suspend",
        "resume": "vm.lifecycle:resume",
        "shelve": "vm.lifecycle:shelve",
        "unshelve": "vm.lifecycle:unshelve",
        "delete-vm": "vm.vms:delete_vm",
        "events": "vm.events:events",
    },
    "Faults": {
        "stop": "outages:stop",
        "start": "outages:start",
        "kill": "outages:kill",
        "cut": "outages:cut",
        "slow": "outages:slow",
        "scenario": "scenarios:scenario",
    },
    "The shell": {
        "completion": "completion:completion",
    },
}


class Root(click.Group):
    """Imports commands when they are needed, lists them by section, turns errors into text."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse bytes that are no text, which no request could carry."""
        if not ctx.resilient_parsing:
            for word in args:
                _check_text(word, repr(word))
            for name, value in os.environ.items():
                if name.startswith("FAKEVM_"):
                    _check_text(value, f"{name}={value!r}")
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all commands, in the order of the sections."""
        return [name for commands in COMMANDS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        for commands in COMMANDS.values():
            if cmd_name in commands:
                module, _, function = commands[cmd_name].partition(":")
                command = getattr(import_module(f"fakevm.cli.{module}"), function)
                assert isinstance(command, click.Command)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        for section, commands in COMMANDS.items():
            with formatter.section(section):
                found = ((name, self.get_command(ctx, name)) for name in commands)
                formatter.write_dl(
                    [(name, command.get_short_help_str(120)) for name, command in found if command]
                )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands' names; for their help texts all of them would be imported."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        # Not a group's, which imports them.
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*map(CompletionItem, names), *options]

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error that a person can act on becomes text and an exit code."""
        try:
            return super().invoke(ctx)
        except FakevmError as error:
            click.echo(f"Error: {error}", err=True)
            for note in getattr(error, "__notes__", ()):
                click.echo(note, err=True)
            if error.hint:
                click.echo(f"Hint: {error.hint}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt as interrupt:
            click.echo("interrupted", err=True)
            for note in getattr(interrupt, "__notes__", ()):
                click.echo(note, err=True)
            ctx.exit(143 if isinstance(interrupt, Terminated) else 130)


def _check_text(text: str, shown: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise click.UsageError(f"{shown} is not UTF-8") from None


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--lab",
    metavar="NAME",
    default="fakevm",
    show_default=True,
    help="Which lab.",
    shell_complete=complete.labs,
)
@click.version_option(package_name="fakevm")
@click.pass_context
def cli(ctx: click.Context, lab: str) -> None:
    """Give a real OpenStack Neutron emulated VMs to serve: a lab in containers, without Nova.

    Every option can be set by a variable: FAKEVM_LAB, FAKEVM_UP_COMPUTES, FAKEVM_MIGRATE_HOST, …
    """
    if ctx.obj is None:
        ctx.obj = fakevm.cli.session.Session()
    ctx.obj.lab_name = lab


def _open_closed() -> None:
    """Have /dev/null as stdin, stdout or stderr where it is closed: no other file gets its number.

    Python has None in its place, which nobody expects.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number: its own, since those before it are open by now.
            number = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def main() -> None:
    """Run the command line."""
    # A command has ended before garbage matters that refers to itself; to look for it while
    # libraries are imported takes a sixth of that time.
    gc.disable()
    raise_on_sigterm()
    _open_closed()
    # Names in another alphabet are printed also where the locale knows none.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code: object = 0
    try:
        try:
            cli(auto_envvar_prefix="FAKEVM", prog_name="fakevm")
        except SystemExit as end:
            code = end.code  # Always a number: click raised it.
        except KeyboardInterrupt:
            # While a shell asks what to offer; the group tells of any other.
            code = 130
        sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        click.echo(f"Error: what was to be printed: {error.strerror}", err=True)
        code = 1
    # At once: to take all modules apart again takes 30 ms. What was printed has been flushed.
    os._exit(code if isinstance(code, int) else 1)
