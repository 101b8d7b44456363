"""Commands on ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from fakevm.cli import complete
from fakevm.cli.session import (
    Session,
    format_option,
    host_option,
    instance_argument,
    lab_option,
    pass_session,
    plugging_options,
    port_argument,
    say,
    timeout_option,
)
from fakevm.display import output
from fakevm.errors import raise_all
from fakevm.vms.requests import Plugging, PortRequest

if TYPE_CHECKING:
    from fakevm.inventory.addresses import Addressing

_PORT = (
    *("port_id", "name", "vm_name", "instance_id", "host", "status", "mac_address", "project_id"),
    *("network", "network_id", "fixed_ips", "addresses", "nic", "device", "differs"),
)
_LIST = (
    *("vm_name", "nic", "port_id", "name", "host", "status", "network"),
    *("fixed_ips", "addresses", "device", "differs"),
)
T = TypeVar("T", bound=Callable[..., object])

_RESULT = ("host", "port_id", "changed", "error")


def _address_option(default: str | None) -> Callable[[T], T]:
    return click.option(
        "--address",
        "addressing",
        type=click.Choice(["dhcp", "static", "none"]),
        default=default,
        show_default=default or "as before, or dhcp",
        help="How the VM comes by its addresses: by DHCP or SLAAC where the subnet has it; as"
        " Neutron has them, set by hand; not at all.",
    )


@click.command("create-port")
@host_option
@click.option("--name", help="The port's name.")
@click.option(
    "--project",
    metavar="PROJECT",
    help="Whose port it is, by name or id.  [default: with Keystone admin's]",
)
@click.option(
    "--fixed-ip",
    "fixed_ips",
    multiple=True,
    metavar="ADDRESS | subnet=SUBNET,ip-address=ADDRESS",
    help="Instead of one address of every subnet; can be repeated.",
)
@click.option(
    "--security-group",
    "security_groups",
    multiple=True,
    metavar="ID",
    help="Instead of the project's default group; can be repeated.",
)
@click.option("--no-port-security", is_flag=True, help="No filters, no anti-spoofing.")
@click.option("--vnic-type", default="normal", show_default=True, help="As Neutron names it.")
@_address_option("dhcp")
@click.option(
    "--reschedule",
    metavar="HOST",
    help="Let the guest not start on the first host, and build the VM on this one, as Nova does.",
    shell_complete=complete.hosts,
)
@click.option("--timings", is_flag=True, help="Show where the time went.")
@plugging_options
@lab_option
@timeout_option
@format_option
@click.argument("network", shell_complete=complete.networks)
@instance_argument
@pass_session
def create_port(
    session: Session,
    *,
    host: str | None,
    name: str | None,
    project: str | None,
    fixed_ips: tuple[str, ...],
    security_groups: tuple[str, ...],
    no_port_security: bool,
    vnic_type: str,
    addressing: Addressing,
    timings: bool,
    reschedule: str | None,
    plugging: Plugging,
    timeout_s: float,
    form: str,
    network: str,
    instance: str,
) -> None:
    """Create a port on NETWORK for the VM INSTANCE as Nova does, wait until it works.

    The VM boots: it is paused until Neutron says network-vif-plugged. INSTANCE is a UUID or a name
    of your own. A second port for the same instance is its second NIC.
    Without --host, the VM's host, or for a new VM the one with the fewest.
    """
    request = PortRequest(
        network=network,
        instance=instance,
        host=host,
        name=name,
        project=project,
        fixed_ips=fixed_ips,
        security_groups=security_groups,
        port_security=not no_port_security,
        vnic_type=vnic_type,
        addressing=addressing,
        reschedule=reschedule,
    )
    with session.lab(timeout_s=timeout_s) as lab:
        created = lab.create_port(
            request,
            plugging=plugging,
            timeout_s=timeout_s,
        )
    result = output.plain(created.row)
    if timings:
        result["timings"] = output.plain(created.timings)
    output.show(result, form, columns=(*_PORT[:-1], *(["timings"] if timings else [])))


@click.command("delete-port")
@lab_option
@timeout_option
@format_option
@click.argument("refs", metavar="VIF...", nargs=-1, required=True, shell_complete=complete.ports)
@pass_session
def delete_port(session: Session, *, refs: tuple[str, ...], timeout_s: float, form: str) -> None:
    """Unplug ports on their hosts and delete them.

    VIF is a port's UUID, its name, its VM's, or a UUID's beginning. One that fails does not keep
    the others.
    """
    with session.lab(timeout_s=timeout_s) as lab:
        deleted, failures = lab.delete_ports(refs)
        output.show([{"port_id": port_id} for port_id in deleted], form, columns=("port_id",))
        # Within the block, where the lab adds to an error what may be its cause.
        raise_all(failures)


@click.command()
@host_option
@_address_option(None)
@plugging_options
@lab_option
@timeout_option
@format_option
@port_argument
@pass_session
def plug(
    session: Session,
    *,
    ref: str,
    host: str | None,
    addressing: Addressing | None,
    plugging: Plugging,
    timeout_s: float,
    form: str,
) -> None:
    """Plug a port on one host; one that is not bound is bound there, and its VM boots with it."""
    with session.lab(timeout_s=timeout_s) as lab:
        row = lab.plug(
            ref,
            host=host,
            addressing=addressing,
            plugging=plugging,
            timeout_s=timeout_s,
        )
    output.show(row, form, columns=_PORT)


@click.command()
@host_option
@_address_option("dhcp")
@plugging_options
@lab_option
@timeout_option
@format_option
@instance_argument
@port_argument
@pass_session
def attach(
    session: Session,
    *,
    instance: str,
    ref: str,
    host: str | None,
    addressing: Addressing,
    plugging: Plugging,
    timeout_s: float,
    form: str,
) -> None:
    """Give a port that is not bound to the VM INSTANCE, which goes on running.

    A VM that there is not boots with it: on --host, or the host with the fewest VMs.
    """
    with session.lab(timeout_s=timeout_s) as lab:
        row = lab.attach(
            instance,
            ref,
            host=host,
            addressing=addressing,
            plugging=plugging,
            timeout_s=timeout_s,
        )
    output.show(row, form, columns=_PORT)


@click.command()
@lab_option
@timeout_option
@format_option
@port_argument
@pass_session
def detach(session: Session, *, ref: str, timeout_s: float, form: str) -> None:
    """Take a port from its VM, which goes on running.

    A port that the VM was given is unbound and stays, one that fakevm made is deleted.
    """
    with session.lab(timeout_s=timeout_s) as lab:
        done = lab.detach(ref, timeout_s=timeout_s)
    output.show(done, form)


@click.command()
@host_option
@lab_option
@timeout_option
@format_option
@port_argument
@pass_session
def unplug(session: Session, *, ref: str, host: str | None, timeout_s: float, form: str) -> None:
    """Unplug a port on one host; its binding stays."""
    with session.lab(timeout_s=timeout_s) as lab:
        result = lab.unplug(ref, host=host)
    output.show([result], form, columns=_RESULT[:-1])


@click.command("unplug-all-host")
@lab_option
@timeout_option
@format_option
@port_argument
@click.pass_context
def unplug_all_host(ctx: click.Context, *, ref: str, timeout_s: float, form: str) -> None:
    """Unplug a port on every host, with a result for each."""
    session = ctx.find_object(Session)
    assert session is not None
    with session.lab(timeout_s=timeout_s) as lab:
        results = lab.unplug_all_hosts(ref)
    output.show(results, form, columns=_RESULT)
    if any(result.error for result in results):
        ctx.exit(1)


@click.command("list")
@lab_option
@timeout_option
@format_option
@pass_session
def list_(session: Session, *, timeout_s: float, form: str) -> None:
    """List the VMs' ports: what Neutron says and what the hosts have, and where they differ."""
    with session.lab(timeout_s=timeout_s) as lab:
        rows = lab.rows()
    # Where both sides agree, one of them is enough to read.
    agreed = () if any(row.differs for row in rows) else ("fixed_ips", "differs")
    output.show(rows, form, columns=[name for name in _LIST if name not in agreed])


@click.command()
@lab_option
@timeout_option
@format_option
@port_argument
@pass_session
def show(session: Session, *, ref: str, timeout_s: float, form: str) -> None:
    """Show a port: what Neutron says and what its host has."""
    with session.lab(timeout_s=timeout_s) as lab:
        row = lab.show(ref)
    output.show(row, form, columns=(*_PORT[:5], "plugged_host", *_PORT[5:]))


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@lab_option
@timeout_option
@format_option
@pass_session
def cleanup(session: Session, *, dry_run: bool, timeout_s: float, form: str) -> None:
    """Remove what is left in the hosts of ports that are gone."""
    with session.lab(timeout_s=timeout_s) as lab:
        leftovers, failures = lab.cleanup(dry_run=dry_run)
        output.show(leftovers, form, columns=("host", "kind", "name", "port_id"))
        say(f"{'would be removed' if dry_run else 'removed'}: {len(leftovers)}")
        raise_all(failures)
