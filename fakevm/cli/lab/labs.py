"""Commands on a lab as a whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from fakevm import backends, display, labfile
from fakevm.backends.ovs import FIREWALL
from fakevm.cli.lab import brought
from fakevm.cli.lab.labfile import topo_option
from fakevm.cli.session import (
    SECONDS,
    Session,
    format_option,
    lab_option,
    name_option,
    pass_session,
    say,
)
from fakevm.display import output
from fakevm.errors import ConfigError, raise_all
from fakevm.recipe import releases
from fakevm.recipe.settings import AUTH, NOTHING, Wishes, is_path

if TYPE_CHECKING:
    from fakevm.stock.things import Thing

_release_option = click.option(
    "--neutron",
    "neutron_version",
    metavar="RELEASE",
    envvar=["FAKEVM_UP_NEUTRON_VERSION", "FAKEVM_NEUTRON_VERSION"],
    help=f"Neutron's release.  [default: the lab's, or {releases.DEFAULT}]",
)


_auth_option = click.option(
    "--auth",
    type=click.Choice(AUTH.values),
    envvar=["FAKEVM_UP_AUTH", "FAKEVM_AUTH"],
    help="Whether every caller of Neutron is an admin, or a Keystone says who it is.  [default: the"
    " lab's, or noauth]",
)


@click.command()
@topo_option
@click.option("--dry-run", is_flag=True, help="Only say what would be done by the lab file.")
@click.option(
    "--prune",
    is_flag=True,
    help="Remove what the lab file no longer has, of what it once made.",
)
@name_option
@click.option(
    "--computes",
    type=click.IntRange(1, 64),
    help="How many compute hosts.  [default: as many as the lab has, or 3]",
)
@click.option(
    "--backend",
    type=click.Choice([backend.name for backend in backends.known.BACKENDS]),
    envvar=["FAKEVM_UP_BACKEND", "FAKEVM_BACKEND"],
    help="Who wires the ports: ML2/OVS or ML2/OVN. It stays as long as the lab.  [default: the"
    " lab's, or ovs]",
)
@click.option(
    "--api-port",
    type=click.IntRange(1, 65535),
    envvar=["FAKEVM_UP_API_PORT", "FAKEVM_API_PORT"],
    help="Where Neutron's API is published on 127.0.0.1.  [default: 9696 for the default lab]",
)
@_release_option
@_auth_option
@click.option(
    "--keystone-port",
    type=click.IntRange(1, 65535),
    envvar=["FAKEVM_UP_KEYSTONE_PORT", "FAKEVM_KEYSTONE_PORT"],
    help="Where Keystone is published on 127.0.0.1.  [default: 5000 for the default lab]",
)
@click.option(
    "--datapath",
    type=click.Choice(["auto", "system", "netdev"]),
    envvar=["FAKEVM_UP_DATAPATH", "FAKEVM_DATAPATH"],
    help="Open vSwitch in the kernel (system), or in userspace; auto: the kernel's if it has it.",
)
@click.option(
    "--l2population/--no-l2population",
    default=None,
    help="ovs: whether the L2 agents fill their forwarding tables from Neutron's, or learn."
    "  [default: the lab's, or yes]",
)
@click.option(
    "--firewall",
    type=click.Choice(FIREWALL.values),
    envvar=["FAKEVM_UP_FIREWALL", "FAKEVM_FIREWALL"],
    help="ovs: what carries security groups out; with iptables_hybrid VIFs have a Linux bridge."
    "  [default: the lab's, or openvswitch]",
)
@click.option(
    "--metadata/--no-metadata",
    default=None,
    help="ovn: whether compute hosts have the metadata agent.  [default: the lab's, or yes]",
)
@click.option(
    "--answer-as-nova/--no-answer-as-nova",
    default=None,
    help="Whether each network-changed makes nova-events read of Neutron what it makes Nova read:"
    " its load at scale.  [default: the lab's, or no]",
)
@click.option(
    "--mechanism-drivers",
    metavar="NAME,…",
    help="What ML2 binds ports with; as with the next three, `default` takes the lab's own again."
    "  [default: the lab's]",
)
@click.option("--type-drivers", metavar="NAME,…", help="ML2's network types.")
@click.option("--extension-drivers", metavar="NAME,…", help="ML2's extension drivers.")
@click.option("--service-plugins", metavar="NAME,…", help="Neutron's service plug-ins.")
@click.option(
    "--l2-agent",
    metavar="COMMAND",
    help="ovs: another L2 agent than Open vSwitch's in the compute hosts, of a --package or the"
    " tree; Neutron has it by the program's name. `default` takes the lab's own again."
    "  [default: the lab's]",
)
@click.option(
    "--config",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Files laid over Neutron's configuration: neutron.conf.d/, ml2_conf.ini,"
    " openvswitch_agent.ini, …, policy.yaml; for one host in hosts/NAME/.  [default: the lab's]",
)
@click.option("--no-config", is_flag=True, help="Take the lab's folder of --config away again.")
@click.option(
    "--host-neutron",
    "host_neutron",
    metavar="HOST=RELEASE",
    multiple=True,
    help="Another release in one compute host, as while a cloud is upgraded; again and again."
    " HOST=default: the lab's own.  [default: as the host has it]",
)
@click.option(
    "--neutron-src",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Run Neutron from a working tree, a checkout or an sdist; `fakevm restart` takes over what"
    " was edited since.  [default: the lab's]",
)
@click.option("--no-neutron-src", is_flag=True, help="Run the release itself again.")
@click.option(
    "--package",
    "packages",
    metavar="SPEC",
    multiple=True,
    help="Install what pip understands, a folder, a wheel or NAME==VERSION, beside Neutron, in all"
    " services and hosts; again and again.  [default: the lab's]",
)
@click.option("--no-package", is_flag=True, help="Take the lab's packages away again.")
@click.option("--no-build", is_flag=True, help="Refuse where images are missing or stale.")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=SECONDS,
    default=300,
    show_default=True,
    help="How long the lab may take to be healthy, images not counted.",
)
@format_option
@pass_session
@click.pass_context
def up(
    ctx: click.Context,
    session: Session,
    *,
    topo: str | None,
    dry_run: bool,
    prune: bool,
    computes: int | None,
    backend: str | None,
    api_port: int | None,
    neutron_version: str | None,
    auth: str | None,
    keystone_port: int | None,
    datapath: str | None,
    l2population: bool | None,
    firewall: str | None,
    metadata: bool | None,
    answer_as_nova: bool | None,
    mechanism_drivers: str | None,
    type_drivers: str | None,
    extension_drivers: str | None,
    service_plugins: str | None,
    l2_agent: str | None,
    config: Path | None,
    no_config: bool,
    host_neutron: tuple[str, ...],
    neutron_src: Path | None,
    no_neutron_src: bool,
    packages: tuple[str, ...],
    no_package: bool,
    no_build: bool,
    timeout_s: float,
    form: str,
) -> None:
    """Start a lab, complete it, or change it to what is asked for, and make what its file has.

    The lab file is fakevm.yaml of the working folder, or --topo's. What options and variables say
    counts before what it says. Without a file a lab is started with nothing in it.
    """
    for given, name in (
        (config and no_config, "config"),
        (neutron_src and no_neutron_src, "neutron-src"),
        (packages and no_package, "package"),
    ):
        if given:
            raise click.UsageError(f"--{name} and --no-{name} exclude each other.")
    options = {
        "auth": auth,
        "datapath": datapath,
        "l2population": _yes_or_no(l2population),
        "firewall": firewall,
        "metadata": _yes_or_no(metadata),
        "answer-as-nova": _yes_or_no(answer_as_nova),
        "mechanism-drivers": mechanism_drivers,
        "type-drivers": type_drivers,
        "extension-drivers": extension_drivers,
        "service-plugins": service_plugins,
        "l2-agent": l2_agent,
    }
    wishes = Wishes(
        computes=computes,
        backend=backend,
        api_port=api_port,
        keystone_port=keystone_port,
        neutron_version=neutron_version,
        config=NOTHING if no_config else config,
        neutron_src=NOTHING if no_neutron_src else neutron_src,
        host_neutron=dict(map(_host_release, host_neutron)),
        packages=tuple(map(_spec, packages)) if packages or no_package else None,
        build=not no_build,
        options={name: value for name, value in options.items() if value is not None},
    )
    text = labfile.find.text(topo)
    if text is None and (dry_run or prune):
        raise click.UsageError("--dry-run and --prune are of a lab file: fakevm init, or --topo.")
    things: list[Thing] = []
    if text is not None:
        say(f"lab file: {text.name}")
        file = labfile.document.read(text.data, text.name)
        things = labfile.wanted.of(file)
        wishes = labfile.settings.wishes_of(file, text.folder, wishes, os.environ)
        if file.name and not _chose_lab(ctx):
            session.lab_name = file.name
    if dry_run:
        brought.show_changes(session.dry_run(wishes, things, prune=prune), form)
        return
    with _progress("bringing the lab up") as tell:
        report = session.up(wishes, timeout_s=timeout_s, say=tell)
    if text is None:
        brought.show(report, form)
        return
    with session.lab() as lab:
        done = lab.converge(things, prune=prune, timeout_s=timeout_s)
        brought.show(report, form, done)
        # Within the block, where the lab adds to an error what may be its cause.
        raise_all(done.errors)


def _chose_lab(ctx: click.Context) -> bool:
    """Tell whether the user named the lab, by an option or a variable."""
    by_default = (ParameterSource.DEFAULT, None)
    chosen = ctx.find_root().get_parameter_source("lab"), ctx.get_parameter_source("name")
    return any(one not in by_default for one in chosen)


def _host_release(words: str) -> tuple[str, str]:
    host, equals, release = words.partition("=")
    if not (host and equals and release):
        raise click.UsageError(f"--host-neutron: HOST=RELEASE is expected, not {words!r}")
    return host, release


def _spec(spec: str) -> str:
    """Return what pip is to install; a path is to be found from everywhere."""
    path = Path(spec)
    if is_path(spec):
        if not path.exists():
            raise ConfigError(f"there is no {spec!r}, a package's folder or file")
        return str(path.absolute())
    return spec


@click.command()
@lab_option
@_release_option
@_auth_option
@format_option
@pass_session
def build(session: Session, *, neutron_version: str | None, auth: str | None, form: str) -> None:
    """Build the images that are missing, or of other sources than this fakevm's.

    Of a release those that are published are taken, where the registry answers.
    """
    options = {AUTH.name: auth} if auth else {}
    wishes = Wishes(neutron_version=neutron_version, options=options)
    with _progress("building the images") as tell:
        built = session.build(wishes, say=tell)
    if not built:
        say("every image is there, and of this fakevm's sources")
        if form == "table":
            return
    output.show(
        [{"image": name, "was": "missing"} for name in built.missing]
        + [{"image": name, "was": "stale"} for name in built.stale],
        form,
        columns=("image", "was"),
    )


@click.command()
@name_option
@format_option
@pass_session
def down(session: Session, *, form: str) -> None:
    """Remove a lab with all it has: containers, networks, volumes."""
    report = session.down()
    for name in report.kept_networks:
        say(
            f"warning: network {name} stays: the Docker engine counts an endpoint that it does not"
            " have; once it was restarted, `fakevm down` removes it"
        )
    if form != "table":
        output.show(report, form)
    elif report.empty:
        say(f"there is nothing of a lab {report.lab!r}")
    else:
        say(
            f"removed the lab {report.lab!r}: {len(report.containers)} containers,"
            f" {len(report.networks)} networks, {len(report.volumes)} volumes"
        )


def _yes_or_no(choice: bool | None) -> str | None:
    return None if choice is None else str(choice).lower()


@contextmanager
def _progress(words: str) -> Iterator[Callable[[str], None]]:
    """Give what tells progress: lines, in a terminal with a sign that it goes on."""
    if not sys.stderr.isatty():
        yield say
        return
    with display.tables.progress(words) as tell:
        yield tell
