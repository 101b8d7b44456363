"""The demo: what quantum-fakevm's README shows, as commands that a user can type."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass

import click

from fakevm.cli.session import Session, lab_option, pass_session, say
from fakevm.errors import ConflictError, FakevmError
from fakevm.names import lab_words

NETWORK = "fakevm-demo"
SUBNET = "10.10.10.0/24"
PORTS = ("demo-1", "demo-2")
HOSTS = ("compute-1", "compute-2", "compute-3")

# While a VM migrates the other pings it, every 0.2 s, and some time before and after.
PINGS = 40


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of the demo and why it is there."""

    title: str
    argv: tuple[str, ...]
    # Another one that runs meanwhile.
    beside: tuple[str, ...] = ()


def steps(address: str) -> list[Step]:
    """Return the demo's steps; `address` is the second VM's."""
    create = ("create-port", "--address")
    return [
        Step(
            title="a network",
            argv=("openstack", "network", "create", *("-c", "id", "-c", "mtu"), NETWORK),
        ),
        Step(
            title="a subnet",
            argv=(
                *("openstack", "subnet", "create", "-c", "id", "-c", "cidr"),
                *("--network", NETWORK),
                *("--subnet-range", SUBNET, f"{NETWORK}-subnet"),
            ),
        ),
        Step(
            title="a VM on compute-1, without an address for now",
            argv=(*create, "none", "--host", HOSTS[0], "--name", PORTS[0], NETWORK, "vm-1"),
        ),
        Step(
            title="a VM on compute-2",
            argv=(*create, "dhcp", "--host", HOSTS[1], "--name", PORTS[1], NETWORK, "vm-2"),
        ),
        Step(title="what the first one has", argv=("exec", PORTS[0], "ip link")),
        Step(title="its address by DHCP", argv=("exec", PORTS[0], "dhclient -4 -v eth0")),
        Step(
            # Open vSwitch in userspace drops what it has no tunnel's neighbour for yet.
            title="from one host to the other, through a tunnel",
            argv=("exec", PORTS[0], f"ping -c 3 {address}"),
        ),
        Step(
            title="a live migration, while the other VM pings it",
            argv=("migrate", HOSTS[2], PORTS[1]),
            beside=("exec", PORTS[0], f"ping -i 0.2 -c {PINGS} {address}"),
        ),
        Step(title="from its new host", argv=("exec", PORTS[0], f"ping -c 1 {address}")),
        Step(title="who is where", argv=("list",)),
    ]


@click.command()
@lab_option
@pass_session
def demo(session: Session) -> None:
    """Walk through an example on a running lab; what an earlier demo left is removed first."""
    with session.lab() as lab:
        missing = [host for host in HOSTS if host not in {c.service for c in lab.computes}]
    if missing:
        raise ConflictError(
            f"the demo needs three compute hosts; {', '.join(missing)} is missing",
            hint="fakevm up --computes 3",
        )
    runner = _Runner(session.lab_name)
    runner.clear()
    for number in range(len(steps(""))):
        # The second VM's address is known only when its port is there.
        address = runner.address(PORTS[1]) if number > len(PORTS) + 1 else ""
        runner.show(number + 1, steps(address)[number])
    say("\nThe demo is over; its VMs stay. Try next:")
    flag = runner.flag
    say(f"  fakevm {flag}shell {PORTS[0]}\n  fakevm {flag}show {PORTS[1]}\n  fakevm {flag}down")


class _Runner:
    """Runs fakevm as a user does: as a process, its output on our terminal."""

    def __init__(self, lab: str) -> None:
        self._lab = lab
        self.flag = lab_words(lab)
        self._addresses: dict[str, str] = {}

    def address(self, name: str) -> str:
        """Return a port's first address."""
        if name not in self._addresses:
            found = json.loads(self._checked("show", "-f", "json", name))
            self._addresses[name] = found["fixed_ips"][0]["ip_address"]
        return self._addresses[name]

    def clear(self) -> None:
        """Remove what an earlier demo left: what bears its names, nothing else."""
        for name in PORTS:
            while self._quiet("show", name).returncode == 0:
                self._checked("delete-port", name)
        found = self._quiet("openstack", "network", "list", "--name", NETWORK, "-f", "value")
        if found.stdout.strip():
            self._checked("openstack", "network", "delete", NETWORK)

    def show(self, number: int, step: Step) -> None:
        """Print a step's command, run it, print its output; FakevmError if it fails."""
        click.echo(click.style(f"\n# {number}. {step.title}", bold=True))
        beside = None
        if step.beside:
            click.echo(f"$ {self._typed(step.beside)} &")
            beside = subprocess.Popen(
                self._argv(step.beside), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
            )
        click.echo(f"$ {self._typed(step.argv)}")
        start = time.monotonic()
        done = subprocess.run(self._argv(step.argv), stdin=subprocess.DEVNULL, check=False)
        seconds = time.monotonic() - start
        if beside is not None:
            said, _ = beside.communicate(timeout=120)
            click.echo(f"$ fg\n{_shortened(said)}")
            if beside.returncode:
                raise FakevmError(f"demo: `{self._typed(step.beside)}` failed")
        if done.returncode:
            raise FakevmError(
                f"demo: `{self._typed(step.argv)}` failed with exit code {done.returncode}"
            )
        say(f"({seconds:.1f} s)")

    def _checked(self, *args: str) -> str:
        done = self._quiet(*args)
        if done.returncode:
            raise FakevmError(f"demo: `{self._typed(args)}` failed: {done.stderr.strip()}")
        return done.stdout

    def _quiet(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._argv(args), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def _argv(self, args: tuple[str, ...]) -> tuple[str, ...]:
        return (sys.executable, "-m", "fakevm", "--lab", self._lab, *args)

    def _typed(self, args: tuple[str, ...]) -> str:
        return f"fakevm {self.flag}{shlex.join(args)}"


def _shortened(text: str) -> str:
    """Return a long ping's first and last lines."""
    lines = text.splitlines()
    if len(lines) <= 16:
        return text.rstrip()
    return "\n".join([*lines[:6], "…", *lines[-8:]])
