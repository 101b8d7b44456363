"""VMs on their hosts, or on none: reboot, rebuild, pause, shelve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from fakevm.cli import complete
from fakevm.cli.session import (
    Session,
    format_option,
    instance_argument,
    lab_option,
    pass_session,
    plugging_options,
    timeout_option,
)
from fakevm.display import output

if TYPE_CHECKING:
    from fakevm.inventory.rows import Row
    from fakevm.lab import Lab
    from fakevm.vms.requests import Plugging

_COLUMNS = ("vm_name", "nic", "port_id", "name", "host", "status", "addresses", "differs")


def _waiting(
    name: str, help_text: str, act: Callable[[Lab, str, Plugging, float], Sequence[Row]]
) -> click.Command:
    """Return a command on a VM that may wait for network-vif-plugged."""

    @click.command(name, help=help_text)
    @plugging_options
    @lab_option
    @timeout_option
    @format_option
    @instance_argument
    @pass_session
    def command(
        session: Session, *, instance: str, plugging: Plugging, timeout_s: float, form: str
    ) -> None:
        with session.lab(timeout_s=timeout_s) as lab:
            rows = act(lab, instance, plugging, timeout_s)
        output.show(rows, form, columns=_COLUMNS)

    return command


def _quick(
    name: str, help_text: str, act: Callable[[Lab, str, float], Sequence[Row]]
) -> click.Command:
    """Return a command on a VM that waits for no event."""

    @click.command(name, help=help_text)
    @lab_option
    @timeout_option
    @format_option
    @instance_argument
    @pass_session
    def command(session: Session, *, instance: str, timeout_s: float, form: str) -> None:
        with session.lab(timeout_s=timeout_s) as lab:
            rows = act(lab, instance, timeout_s)
        output.show(rows, form, columns=_COLUMNS)

    return command


def _pause(lab: Lab, instance: str, timeout_s: float) -> Sequence[Row]:
    return lab.pause(instance, timeout_s=timeout_s)


def _resume(lab: Lab, instance: str, timeout_s: float) -> Sequence[Row]:
    return lab.resume(instance, timeout_s=timeout_s)


reboot = _waiting(
    "reboot",
    "Unplug and plug the VM INSTANCE, as Nova's hard reboot does; nothing is written to Neutron.",
    lambda lab, vm, plugging, timeout_s: lab.reboot(vm, plugging=plugging, timeout_s=timeout_s),
)
rebuild = _waiting(
    "rebuild",
    "Build the VM INSTANCE anew on its host, with the ports that it has.",
    lambda lab, vm, plugging, timeout_s: lab.rebuild(vm, plugging=plugging, timeout_s=timeout_s),
)
shelve = _quick(
    "shelve",
    "Take the VM INSTANCE from its host: its ports are unbound, and stay its own.",
    lambda lab, vm, timeout_s: lab.shelve(vm, timeout_s=timeout_s),
)

# Of neither does Neutron hear; what differs is where the hypervisor keeps the guest.
pause = _quick("pause", "Stop the VM INSTANCE and its processes; it keeps all that it has.", _pause)
suspend = _quick(
    "suspend", "Suspend the VM INSTANCE: for Neutron and the network, a pause.", _pause
)
unpause = _quick("unpause", "Let the VM INSTANCE go on that was paused.", _resume)
resume = _quick("resume", "Let the VM INSTANCE go on that was suspended.", _resume)


@click.command()
@click.option(
    "--host",
    metavar="HOST",
    help="Where.  [default: the host with the fewest VMs]",
    shell_complete=complete.hosts,
)
@plugging_options
@lab_option
@timeout_option
@format_option
@instance_argument
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
    output.show(rows, form, columns=_COLUMNS)
