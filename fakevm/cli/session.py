"""What the commands share: which lab, and how the library is reached. A test passes its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

import fakevm
from fakevm import clients, contents, labfile, labs, shortcut, vms
from fakevm.cli import complete
from fakevm.library import behind
from fakevm.names import DEFAULT_LAB, check_lab

if TYPE_CHECKING:
    from fakevm.clients.agents import Execution, Terminal
    from fakevm.contents.converge import Converged
    from fakevm.inventory.several import Result
    from fakevm.lab import Lab
    from fakevm.labs.down import DownReport
    from fakevm.labs.elsewhere import Elsewhere
    from fakevm.labs.join import JoinReport
    from fakevm.labs.up import UpReport
    from fakevm.preflight.values import Check
    from fakevm.recipe.images import Unfit
    from fakevm.recipe.settings import Wishes
    from fakevm.stock.things import Thing

F = TypeVar("F", bound=Callable[..., Any])


class Session:
    """The library as the commands use it."""

    _lab_name = DEFAULT_LAB

    @property
    def lab_name(self) -> str:
        """The name of the lab that the user chose."""
        return self._lab_name

    @lab_name.setter
    def lab_name(self, name: str) -> None:
        self._lab_name = check_lab(name)

    def lab(self, *, timeout_s: float | None = None) -> Lab:
        """Return the lab that the user chose."""
        longest = timeout_s or LONGEST_S
        return fakevm.lab.Lab(
            self.lab_name,
            answer_s=min(clients.parts.ANSWER_S, longest),
            agent_s=min(clients.parts.AGENT_S, longest),
            say=say,
        )

    def lab_saying(self, tell: Callable[[str], None]) -> Lab:
        """Return it, with its progress and warnings for somebody else than the terminal."""
        lab = self.lab()
        lab.say = tell
        return lab

    def execute(
        self,
        ref: str,
        argv: Sequence[str],
        *,
        host: str | None,
        timeout_s: float | None = None,
        terminal: Terminal | None = None,
        stdin: bool = False,
    ) -> Execution:
        """Start a command in the VM that has a port."""
        return shortcut.execute.execute(
            *(self.lab_name, ref, argv),
            host=host,
            timeout_s=timeout_s,
            terminal=terminal,
            stdin=stdin,
        )

    def execute_in(
        self, selectors: Sequence[str], argv: Sequence[str], *, timeout_s: float | None
    ) -> list[Result]:
        """Run a command in the VMs that are selected, of none in all, at once."""
        return shortcut.execute.execute_in(self.lab_name, selectors, argv, timeout_s=timeout_s)

    def up(self, wishes: Wishes, *, timeout_s: float, say: Callable[[str], None]) -> UpReport:
        """Bring the lab up."""
        return behind.begin.up(self.lab_name, wishes, timeout_s=timeout_s, say=say)

    def dry_run(self, wishes: Wishes, things: Sequence[Thing], *, prune: bool) -> Converged:
        """Return what `up` would do with a lab file."""
        engine = clients.engine.Engine()
        found = labfile.dry_run.of(self.lab_name, wishes, engine=engine)
        if not found.runs:
            return found.with_what_is_in_it(contents.converge.from_nothing(things, found.hosts))
        with self.lab() as lab:
            inside = lab.converge(things, prune=prune, dry_run=True, hosts=found.hosts)
        return found.with_what_is_in_it(inside)

    def build(self, wishes: Wishes, *, say: Callable[[str], None]) -> Unfit:
        """Build the images."""
        engine = clients.engine.Engine()
        return labs.up.build(self.lab_name, wishes, engine=engine, say=say)

    def doctor(self, wishes: Wishes) -> list[Check]:
        """Look whether the lab would work on this machine."""
        return behind.begin.examine(self.lab_name, wishes)

    def join(
        self, api: str, hosts: Sequence[str], *, timeout_s: float, say: Callable[[str], None]
    ) -> JoinReport:
        """Join compute hosts to another lab's Neutron."""
        return behind.begin.join(self.lab_name, api, hosts, timeout_s=timeout_s, say=say)

    def join_elsewhere(
        self,
        there: Elsewhere,
        hosts: Sequence[str],
        wishes: Wishes,
        *,
        timeout_s: float,
        say: Callable[[str], None],
    ) -> JoinReport:
        """Join compute hosts to a Neutron that is no lab's."""
        return labs.elsewhere.join(
            *(self.lab_name, there),
            hosts=hosts or (f"{self.lab_name}-1",),
            wishes=wishes,
            engine=clients.engine.Engine(),
            say=say,
            timeout_s=timeout_s,
        )

    def leave(self) -> DownReport:
        """Take them from it."""
        return labs.join.leave(self.lab_name, engine=clients.engine.Engine())

    def down(self) -> DownReport:
        """Remove the lab."""
        return labs.down.down(self.lab_name, engine=clients.engine.Engine())


class Number(click.FloatRange):
    """A number in a range. NaN is outside none, as it compares with nothing."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return what is typed as a number."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


# A week. What poll(), a lock and Docker Compose can wait has an end, too.
LONGEST_S = 7 * 24 * 3600
SECONDS = Number(min=0, min_open=True, max=LONGEST_S)

pass_session = click.make_pass_decorator(Session)


def say(text: str) -> None:
    """Tell progress, or a warning."""
    click.echo(text, err=True)


def _choosing_lab(*names: str, help_text: str) -> Callable[[F], F]:
    def choose(ctx: click.Context, _param: click.Parameter, lab: str | None) -> None:
        if lab is not None and ctx.resilient_parsing:
            # A shell asks what to offer: there is no session.
            complete.choose_lab(ctx, lab)
        elif lab is not None:
            ctx.obj.lab_name = lab

    return click.option(
        *names,
        metavar="NAME",
        expose_value=False,
        callback=choose,
        help=help_text,
        shell_complete=complete.labs,
    )


# Let a command choose the lab, as `fakevm --lab` does.
lab_option = _choosing_lab("--lab", help_text="Which lab.")
name_option = _choosing_lab("--name", "--lab", "name", help_text="The lab's name, as --lab.")


host_option = click.option(
    "--host",
    metavar="HOST",
    help="A compute host, by name or id.",
    shell_complete=complete.hosts,
)
port_argument = click.argument("ref", metavar="VIF", shell_complete=complete.ports)
instance_argument = click.argument("instance", shell_complete=complete.vms)


def format_option(function: F) -> F:
    """Let the user choose how a result is printed."""
    return click.option(
        "-f",
        "--format",
        "form",
        type=click.Choice(["table", "json", "yaml"]),
        default="table",
        show_default=True,
        help="How the result is printed.",
    )(function)


def timeout_option(function: F) -> F:
    """Let the user choose how long is waited."""
    return click.option(
        "--timeout",
        "timeout_s",
        metavar="SECONDS",
        type=SECONDS,
        default=60,
        show_default=True,
        envvar="FAKEVM_TIMEOUT",
        help="How long to wait for Neutron's answers, and for a port or VM to be ready.",
    )(function)


def plugging_options(function: F) -> F:
    """Let the user choose how network-vif-plugged is waited for, as Nova's options do.

    The command gets both as one `plugging`.
    """

    @wraps(function)
    def gathered(
        *args: Any, vif_plugging_timeout_s: float, vif_plugging_is_fatal: bool, **kwargs: Any
    ) -> Any:
        plugging = vms.requests.Plugging(
            vif_plugging_timeout_s=vif_plugging_timeout_s,
            vif_plugging_is_fatal=vif_plugging_is_fatal,
        )
        return function(*args, plugging=plugging, **kwargs)

    made = click.option(
        "--vif-plugging-timeout",
        "vif_plugging_timeout_s",
        metavar="SECONDS",
        type=Number(min=0, max=LONGEST_S),
        default=300,
        show_default=True,
        help="How long to wait for network-vif-plugged, as Nova's option; 0: not at all.",
    )(gathered)
    return cast(
        F,
        click.option(
            "--vif-plugging-is-fatal/--no-vif-plugging-is-fatal",
            default=True,
            show_default=True,
            help="Whether it is an error if the event does not come in time, as Nova's option.",
        )(made),
    )
