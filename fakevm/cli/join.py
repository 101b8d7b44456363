"""Commands that join compute hosts to a Neutron that runs already, and take them from it."""

from __future__ import annotations

import click

from fakevm.cli.session import SECONDS, Session, format_option, name_option, pass_session, say
from fakevm.display import output


@click.command()
@name_option
@click.option(
    "--api",
    metavar="URL",
    required=True,
    help="Where that Neutron's API is on this machine: another lab's, as its clouds-yaml has it.",
)
@click.option(
    "--host",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="A host's name, which no other one of that Neutron has; again and again.  [default: the"
    " lab's name, and -1]",
)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=SECONDS,
    default=300,
    show_default=True,
    help="How long the hosts may take to be healthy.",
)
@format_option
@pass_session
def join(
    session: Session, *, api: str, hosts: tuple[str, ...], timeout_s: float, form: str
) -> None:
    """Start compute hosts for a Neutron that runs already, as a lab without one of its own."""
    report = session.join(api, hosts, timeout_s=timeout_s, say=say)
    if form != "table":
        output.show(report, form)
        return
    flag = f"--lab {report.lab}"
    say(
        f"{', '.join(report.hosts)} joined the lab {report.home!r} in {report.seconds} s.\n\n"
        "Try next:\n"
        f"  fakevm {flag} create-port --host {report.hosts[0]} NETWORK INSTANCE\n"
        f"  fakevm {flag} status\n"
        f"  fakevm leave --name {report.lab}"
    )


@click.command()
@name_option
@format_option
@pass_session
def leave(session: Session, *, form: str) -> None:
    """Remove the hosts of a lab that has joined another one's Neutron, and their agents from it."""
    report = session.leave()
    if form != "table":
        output.show(report, form)
    else:
        say(f"removed the lab {report.lab!r}: {len(report.containers)} containers")
