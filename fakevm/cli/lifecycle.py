"""VMs on their hosts, or on none: reboot, rebuild, pause, shelve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fakevm.cli import output
from fakevm.cli.session import (
    Session,
    format_option,
    lab_option,
    pass_session,
    plugging_options,
    timeout_option,
)
from fakevm.vms.requests import Plugging

if TYPE_CHECKING:
    from fakevm.vms.rows import Row

_COLUMNS = ("vm_name", "nic", "port_id", "name", "host", "status", "addresses", "differs")


def _show(rows: Sequence[Row], form: str) -> None:
    output.show(rows, form, columns=_COLUMNS)


@click.command()
@plugging_options
@lab_option
@timeout_option
@format_option
@click.argument("instance")
@pass_session
def reboot(
    session: Session,
    *,
    instance: str,
    plugging: Plugging,
    timeout_s: float,
    form: str,
) -> None:
    """Unplug and plug the VM INSTANCE, as Nova's hard reboot does; Neutron is told nothing."""
    with session.lab(timeout_s=timeout_s) as lab:
        rows = lab.reboot(instance, plugging=plugging, timeout_s=timeout_s)
    _show(rows, form)


@click.command()
@plugging_options
@lab_option
@timeout_option
@format_option
@click.argument("instance")
@pass_session
def rebuild(
    session: Session,
    *,
    instance: str,
    plugging: Plugging,
    timeout_s: float,
    form: str,
) -> None:
    """Build the VM INSTANCE anew on its host, with the ports that it has."""
    with session.lab(timeout_s=timeout_s) as lab:
        rows = lab.rebuild(instance, plugging=plugging, timeout_s=timeout_s)
    _show(rows, form)


@click.command()
@lab_option
@timeout_option
@format_option
@click.argument("instance")
@pass_session
def shelve(session: Session, *, instance: str, timeout_s: float, form: str) -> None:
    """Take the VM INSTANCE from its host: its ports are unbound, and stay its own."""
    with session.lab(timeout_s=timeout_s) as lab:
        rows = lab.shelve(instance, timeout_s=timeout_s)
    _show(rows, form)


@click.command()
@click.option("--host", metavar="HOST", help="Where.  [default: the host with the fewest VMs]")
@plugging_options
@lab_option
@timeout_option
@format_option
@click.argument("instance")
@pass_session
def unshelve(
    session: Session,
    *,
    instance: str,
    host: str | None,
    plugging: Plugging,
    timeout_s: float,
    form: str,
) -> None:
    """Boot the VM INSTANCE, which is shelved, on the host where it was or another one."""
    with session.lab(timeout_s=timeout_s) as lab:
        rows = lab.unshelve(instance, host=host, plugging=plugging, timeout_s=timeout_s)
    _show(rows, form)


def _pausing(name: str, help_text: str) -> click.Command:
    @click.command(name, help=help_text)
    @lab_option
    @timeout_option
    @format_option
    @click.argument("instance")
    @pass_session
    def command(session: Session, *, instance: str, timeout_s: float, form: str) -> None:
        with session.lab(timeout_s=timeout_s) as lab:
            rows = lab.pause(instance, timeout_s=timeout_s)
        _show(rows, form)

    return command


def _resuming(name: str, help_text: str) -> click.Command:
    @click.command(name, help=help_text)
    @lab_option
    @timeout_option
    @format_option
    @click.argument("instance")
    @pass_session
    def command(session: Session, *, instance: str, timeout_s: float, form: str) -> None:
        with session.lab(timeout_s=timeout_s) as lab:
            rows = lab.resume(instance, timeout_s=timeout_s)
        _show(rows, form)

    return command


# Of neither does Neutron hear; what differs is where the hypervisor keeps the guest.
pause = _pausing("pause", "Stop the VM INSTANCE and its processes; it keeps all that it has.")
suspend = _pausing("suspend", "Suspend the VM INSTANCE: for Neutron and the network, a pause.")
unpause = _resuming("unpause", "Let the VM INSTANCE go on that was paused.")
resume = _resuming("resume", "Let the VM INSTANCE go on that was suspended.")
