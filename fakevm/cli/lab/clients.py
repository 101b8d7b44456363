"""Other clients of a lab: OpenStack's and OVN's, inside it or on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from fakevm import backends, clients, neutron, shortcut
from fakevm.cli import complete
from fakevm.cli.session import Session, lab_option, pass_session, say
from fakevm.display import output
from fakevm.errors import ConfigError, ConflictError
from fakevm.names import ADMIN, NEUTRON_PORT

if TYPE_CHECKING:
    from fakevm.shortcut.offers import Offer

# Who has daemons of OVN's or Open vSwitch's.
_ROLES = ("compute", "network", "ovn-central")


@complete.offering
def _programs(_ctx: click.Context, _begun: str) -> list[Offer]:
    known = (name for backend in backends.known.BACKENDS for name in backend.programs)
    return [shortcut.offers.Offer(name) for name in known]


@complete.offering
def _hosts(ctx: click.Context, _begun: str) -> list[Offer]:
    return shortcut.offers.services(complete.lab(ctx), *_ROLES)


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_session
def openstack(session: Session, *, arguments: tuple[str, ...]) -> None:
    """Run the `openstack` client inside the lab, with these arguments."""
    with session.lab() as lab:
        if lab.joined:
            raise ConflictError(
                f"the lab {lab.name!r} has joined the Neutron at {lab.joined}",
                hint="the client that it is used with",
            )
        container = lab.service("neutron-api")
    if not arguments and not sys.stdin.isatty():
        say("no command is given: the client takes commands from stdin, and ends with 1 after them")
    environment = ["OS_AUTH_TYPE=none", f"OS_ENDPOINT=http://127.0.0.1:{NEUTRON_PORT}"]
    if container.auth == clients.containers.KEYSTONE:
        # Of the clouds that the container has.
        environment = [f"OS_CLOUD={ADMIN}"]
    _become(container.name, ("openstack", *arguments), environment=environment)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@lab_option
@click.option(
    "--host",
    help="appctl: the host whose daemons are asked.  [default: ovn-central]",
    shell_complete=_hosts,
)
@click.argument("program", metavar="PROGRAM", shell_complete=_programs)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_session
def ovn(session: Session, *, host: str | None, program: str, arguments: tuple[str, ...]) -> None:
    """Run one of OVN's programs inside the lab: nbctl, sbctl, trace or appctl."""
    with session.lab() as lab:
        programs = lab.backend.programs
        if not programs:
            raise ConflictError(
                f"the lab {lab.name!r} has {lab.backend.title}, which has no OVN",
                hint="fakevm up --name ANOTHER --backend ovn",
            )
        if program not in programs:
            raise ConfigError(f"expected {', '.join(programs)}, not {program!r}")
        chosen = programs[program]
        container = lab.service(host or chosen.service)
    _become(container.name, (chosen.name, *arguments))


@click.command("clouds-yaml")
@lab_option
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["table", "json", "yaml"]),
    default="yaml",
    show_default=True,
    help="How it is printed; table is yaml.",
)
@pass_session
def clouds_yaml(session: Session, *, form: str) -> None:
    """Print the entry for clouds.yaml that lets a client on this machine use the lab."""
    with session.lab() as lab:
        found = neutron.login.clouds(session.lab_name, lab.endpoint, lab.logins)
    output.show(found, "yaml" if form == "table" else form)


def _become(container: str, argv: Sequence[str], *, environment: Sequence[str] = ()) -> NoReturn:
    """Run a program in a container instead of this one; it has the terminal, if there is one."""
    terminal = ("--tty",) if sys.stdin.isatty() and sys.stdout.isatty() else ()
    variables = (word for pair in environment for word in ("--env", pair))
    clients.process.replace(
        ("docker", "exec", "--interactive", *terminal, *variables, container, *argv)
    )
