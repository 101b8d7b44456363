"""Commands that join compute hosts to a Neutron that runs already, and take them from it."""

from __future__ import annotations

from pathlib import Path

import click

from fakevm import labs, neutron, recipe
from fakevm.cli.session import SECONDS, Session, format_option, name_option, pass_session, say
from fakevm.display import output
from fakevm.recipe import releases


@click.command()
@name_option
@click.option(
    "--api",
    metavar="URL",
    required=True,
    help="Where that Neutron's API is: another lab's, as its clouds-yaml has it; or any other"
    " one's, at an address of this machine.",
)
@click.option(
    "--transport-url",
    metavar="URL",
    default="",
    help="Of a Neutron that is no lab's, with ML2/OVS: its message bus, rabbit://USER:PASSWORD@…",
)
@click.option(
    "--ovn-sb",
    metavar="tcp:ADDRESS:PORT",
    default="",
    help="Of a Neutron that is no lab's, with ML2/OVN: its southbound database.",
)
@click.option(
    "--os-cloud",
    metavar="NAME",
    help="Of a Neutron that is no lab's, with Keystone: the entry of your clouds.yaml of a user who"
    " may do all; `envvars`: of your OS_… variables.  [default: no Keystone]",
)
@click.option(
    "--neutron",
    "neutron_version",
    metavar="RELEASE",
    help=f"Of a Neutron that is no lab's: its agents' release.  [default: {releases.DEFAULT}]",
)
@click.option(
    "--config",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Of a Neutron that is no lab's: files laid over its agents' configuration, as for up.",
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
    help="How long the hosts may take to be healthy, images not counted.",
)
@format_option
@pass_session
def join(
    session: Session,
    *,
    api: str,
    transport_url: str,
    ovn_sb: str,
    os_cloud: str | None,
    neutron_version: str | None,
    config: Path | None,
    hosts: tuple[str, ...],
    timeout_s: float,
    form: str,
) -> None:
    """Start compute hosts for a Neutron that runs already, as a lab without one of its own.

    It is another lab's, or one that runs elsewhere on this machine, as devstack's: then the message
    bus or the southbound database is needed, too. Nothing of it is changed but what its agents
    report.
    """
    if transport_url or ovn_sb:
        there = labs.elsewhere.Elsewhere(
            api=api.rstrip("/"),
            transport_url=transport_url,
            ovn_sb=ovn_sb,
            login=neutron.sdk.login_of(os_cloud) if os_cloud else None,
        )
        wishes = recipe.settings.Wishes(neutron_version=neutron_version, config=config)
        report = session.join_elsewhere(there, hosts, wishes, timeout_s=timeout_s, say=say)
    else:
        for name, given in (
            ("os-cloud", os_cloud),
            ("neutron", neutron_version),
            ("config", config),
        ):
            if given:
                raise click.UsageError(
                    f"--{name} is for a Neutron that is no lab's: with --transport-url or --ovn-sb."
                )
        report = session.join(api, hosts, timeout_s=timeout_s, say=say)
    if form != "table":
        output.show(report, form)
        return
    flag = f"--lab {report.lab}"
    joined = f"the lab {report.home!r}" if report.home else f"the Neutron at {report.endpoint}"
    say(
        f"{', '.join(report.hosts)} joined {joined} in {report.seconds} s.\n\n"
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
    """Remove the hosts of a lab that has joined a Neutron, and their agents from it."""
    report = session.leave()
    if form != "table":
        output.show(report, form)
    else:
        say(f"removed the lab {report.lab!r}: {len(report.containers)} containers")
