"""Commands that break something of a lab on purpose, and mend it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from fakevm import outages
from fakevm.cli import complete
from fakevm.cli.session import SECONDS, Number, Session, lab_option, pass_session, say
from fakevm.errors import for_each
from fakevm.names import lab_words
from fakevm.recipe.subnets import ROLES

if TYPE_CHECKING:
    from fakevm.lab import Lab

_for_option = click.option(
    "--for",
    "seconds",
    metavar="SECONDS",
    type=SECONDS,
    help="For this time, then undo it; Ctrl-C undoes it at once.  [default: until it is undone]",
)
_targets = click.argument(
    "refs",
    metavar="HOST|SERVICE|PROCESS@HOST...",
    nargs=-1,
    required=True,
    shell_complete=complete.containers,
)
_network = click.option(
    "--network",
    type=click.Choice(ROLES),
    help="Of which network.  [default: underlay between hosts, else management]",
)


def _lasting(
    act: Callable[[], object], seconds: float | None, undo: Callable[[], object], how: str
) -> None:
    """Do it, and say how it is undone; or undo it after a time, and what is done if it fails."""
    if seconds is None:
        act()
        say(f"To undo it: {how}")
        return
    with outages.undo.at_the_end(undo):
        act()
        time.sleep(seconds)


def _each(lab: Lab, refs: Sequence[str], act: Callable[[str], object]) -> None:
    """Do it to each, also after a failure; to none, if one of them is not there."""
    for_each(refs, lab.outages.find)
    for_each(refs, act)


@click.command()
@_for_option
@lab_option
@_targets
@pass_session
def stop(session: Session, *, refs: tuple[str, ...], seconds: float | None) -> None:
    """Stop a host, a service or a process: compute-2, rabbitmq, l2-agent@compute-2."""
    begun: list[str] = []
    with session.lab() as lab:

        def end(ref: str) -> None:
            begun.append(ref)
            lab.outages.stop(ref)

        _lasting(
            lambda: _each(lab, refs, end),
            seconds,
            lambda: for_each(begun, lab.outages.start),
            f"fakevm {lab_words(session.lab_name)}start {' '.join(refs)}",
        )


@click.command()
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=SECONDS,
    default=120,
    show_default=True,
    help="How long each may take to be well again.",
)
@lab_option
@_targets
@pass_session
def start(session: Session, *, refs: tuple[str, ...], timeout_s: float) -> None:
    """Start what was stopped or killed, and wait until it is well."""
    with session.lab() as lab:
        _each(lab, refs, lambda ref: lab.outages.start(ref, timeout_s=timeout_s))


@click.command()
@lab_option
@_targets
@pass_session
def kill(session: Session, *, refs: tuple[str, ...]) -> None:
    """Kill a host, a service or a process, as a crash does.

    A process is started again by its host's supervisor; a host or a service by `fakevm start`.
    """
    with session.lab() as lab:
        _each(lab, refs, lab.outages.kill)


@click.command()
@_network
@click.option("--undo", is_flag=True, help="Let packets pass again.")
@_for_option
@lab_option
@click.argument("host", shell_complete=complete.hosts)
@click.argument("peer", required=False, shell_complete=complete.containers)
@pass_session
def cut(
    session: Session,
    *,
    host: str,
    peer: str | None,
    network: str | None,
    undo: bool,
    seconds: float | None,
) -> None:
    """Cut the link between a host and another host or a service, or all of a host on a network."""
    if undo and seconds is not None:
        raise click.UsageError("--undo and --for exclude each other.")
    with session.lab() as lab:
        if undo:
            lab.outages.mend(host, peer, network=network)
            return
        chosen = outages.links.find(lab, host, peer, network).network
        words = " ".join(filter(None, [host, peer]))
        _lasting(
            lambda: lab.outages.cut(host, peer, network=chosen),
            seconds,
            lambda: lab.outages.mend(host, peer, network=chosen),
            f"fakevm {lab_words(session.lab_name)}cut --undo --network {chosen} {words}",
        )


@click.command()
@click.option("--network", type=click.Choice(ROLES), default="underlay", show_default=True)
@click.option("--delay", "delay_ms", metavar="MS", type=Number(min=0), help="Of each packet.")
@click.option("--jitter", "jitter_ms", metavar="MS", type=Number(min=0), help="Of the delay.")
@click.option("--loss", "loss_percent", metavar="PERCENT", type=Number(min=0, max=100))
@click.option("--undo", is_flag=True, help="Send without delay and loss again.")
@_for_option
@lab_option
@click.argument("host", shell_complete=complete.hosts)
@pass_session
def slow(
    session: Session,
    *,
    host: str,
    network: str,
    delay_ms: float | None,
    jitter_ms: float | None,
    loss_percent: float | None,
    undo: bool,
    seconds: float | None,
) -> None:
    """Delay or lose what a host sends on a network, where the kernel has netem."""
    if undo and (seconds is not None or (delay_ms, jitter_ms, loss_percent) != (None, None, None)):
        raise click.UsageError("--undo excludes the other options.")
    netem = outages.links.netem
    words = [] if undo else netem(delay_ms=delay_ms, jitter_ms=jitter_ms, loss_percent=loss_percent)
    with session.lab() as lab:
        if undo:
            lab.outages.slow(host, network, ())
            return
        _lasting(
            lambda: lab.outages.slow(host, network, words),
            seconds,
            lambda: lab.outages.slow(host, network, ()),
            f"fakevm {lab_words(session.lab_name)}slow --undo --network {network} {host}",
        )
