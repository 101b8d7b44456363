"""A lab gets what its file says: what is to be done, and how it went."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field, replace

from fakevm.contents import plan
from fakevm.contents.acts import Acts
from fakevm.contents.change import Change, Key
from fakevm.contents.plan import Plan
from fakevm.errors import FakevmError, raise_all
from fakevm.inventory.lookup import Lookup
from fakevm.protocol.interrupt import deferred
from fakevm.stock import present, raw
from fakevm.stock.present import Present
from fakevm.stock.raw import Raw
from fakevm.stock.things import Ref, Thing

# Most of them wait for a VM, and most VMs for a DHCP agent, which serves one network after another.
AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Done:
    """A change, and how it went: done; failed; left, since one that it needs failed; planned."""

    action: str
    kind: str
    name: str
    detail: str = ""
    outcome: str
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Converged:
    """What was done, or would be."""

    changes: tuple[Done, ...]
    # The file's, which nobody asked to remove.
    left: tuple[str, ...] = ()
    # What failed.
    errors: tuple[FakevmError, ...] = ()
    # Of what is there now.
    ids: Mapping[Ref, str] = field(default_factory=dict)


def converge(
    lab: Lookup,
    things: Sequence[Thing],
    *,
    prune: bool,
    dry_run: bool,
    hosts: Sequence[str],
    delete_vm: Callable[[str], object],
    timeout_s: float,
    known: Raw | None = None,
) -> Converged:
    """Let a lab that runs have what is wanted; return what was done, and what failed.

    `known`: what is there of these things, and of those that they name; None: all is read.
    """
    there = present.of(known or raw.read(lab), things)
    for host, why in there.silent.items():
        lab.say(f"warning: {host} does not answer: {why}")
    if hosts:
        there = replace(there, hosts=tuple(dict.fromkeys((*there.hosts, *hosts))))
    found = plan.of(things, there, prune=prune)
    if dry_run:
        return planned(found)
    acts = Acts(lab, found, there, delete_vm=delete_vm, timeout_s=timeout_s)
    done, errors = carry_out(found, acts.carry_out, say=lab.say)
    return Converged(
        changes=tuple(done), left=_words(found), errors=tuple(errors), ids=dict(acts.ids)
    )


def remove(
    lab: Lookup,
    which: Ref,
    known: Raw,
    *,
    delete_vm: Callable[[str], object],
    timeout_s: float,
) -> None:
    """Delete one thing with its parts, whoever made it; raise what failed.

    `known`: what is there of it.
    """
    there = present.of(known)
    nics = {thing.id for one, thing in there.things.items() if one.kind == "nic"}

    def goes(thing: Thing) -> bool:
        one = thing.ref
        if which.kind == "trunk" and one.kind == "port" and thing.id not in nics:
            # What it carries, or was its parent when there was a VM, if a file made that.
            return thing.ours and one.names[0] == which.names[0]
        return which in (one, one.whole)

    mine = {
        one: replace(thing, ours=goes(thing), tagged=True) for one, thing in there.things.items()
    }
    there = replace(there, things=mine)
    found = plan.of([], there, prune=True)
    acts = Acts(lab, found, there, delete_vm=delete_vm, timeout_s=timeout_s)
    _, errors = carry_out(found, acts.carry_out, say=lab.say)
    raise_all(errors)


def planned(found: Plan) -> Converged:
    """Return what would be done."""
    changes = [_done(change, "planned") for change in found.changes if change.action != "tag"]
    return Converged(changes=tuple(changes), left=_words(found))


def from_nothing(things: Sequence[Thing], hosts: Sequence[str]) -> Converged:
    """Return what would be done in a lab that does not run, with these hosts."""
    return planned(plan.of(things, Present(hosts=tuple(hosts)), prune=False))


def _words(found: Plan) -> tuple[str, ...]:
    return tuple(map(str, found.left))


def carry_out(
    found: Plan, act: Callable[[Change], None], *, say: Callable[[str], None]
) -> tuple[list[Done], list[FakevmError]]:
    """Make the changes, those at once that do not need each other; return all that failed, too.

    Ctrl-C ends what was begun, and begins nothing more.
    """
    done: dict[Key, Done] = {}
    errors: list[FakevmError] = []

    def tell(future: Future[None], change: Change, start: float) -> None:
        error = future.exception()
        if error is not None and not isinstance(error, FakevmError):
            raise error
        seconds, outcome = round(time.monotonic() - start, 2), "failed" if error else "done"
        told = str(error or "")
        if error:
            errors.append(_named(error, change))
        done[change.key] = _done(change, outcome, seconds, told)
        if change.action != "tag" or error:
            sign = {"done": "✓", "failed": "✗"}[outcome]
            say(f"{sign} {change} ({seconds:.1f} s)" + (f": {told}" if error else ""))

    waiting = {change.key: change for change in found.changes}
    running: dict[Future[None], tuple[Change, float]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            while waiting or running:
                # What is cut off here nobody would wait for.
                with deferred():
                    for change in _ready(waiting, done):
                        del waiting[change.key]
                        running[pool.submit(act, change)] = (change, time.monotonic())
                for key in _hopeless(waiting, done):
                    done[key] = _done(waiting.pop(key), "left")
                if not running:
                    continue
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    tell(future, *running.pop(future))
        except KeyboardInterrupt as interrupt:
            # The rest is done by the next `up`; what is cut in two, too, but it takes longer.
            pool.shutdown(wait=False, cancel_futures=True)
            begun = {one: told for one, told in running.items() if not one.cancelled()}
            if begun:
                say("interrupted: what was begun is brought to its end")
            for future in as_completed(begun):
                tell(future, *begun[future])
            interrupt.add_note("`fakevm up` again makes the rest")
            raise
    return [done[change.key] for change in found.changes if change.action != "tag"], errors


def _named(error: FakevmError, change: Change) -> FakevmError:
    """Say in an error what was tried."""
    error.args = (f"{change.action} {change.ref}: {error}", *error.args[1:])
    return error


def _ready(waiting: Mapping[Key, Change], done: Mapping[Key, Done]) -> list[Change]:
    return [
        change
        for change in waiting.values()
        if all(need in done and done[need].outcome == "done" for need in change.needs)
    ]


def _hopeless(waiting: Mapping[Key, Change], done: Mapping[Key, Done]) -> list[Key]:
    """Return what needs something that failed, or is left itself."""
    return [
        key
        for key, change in waiting.items()
        if any(need in done and done[need].outcome != "done" for need in change.needs)
    ]


def _done(change: Change, outcome: str, seconds: float = 0.0, error: str = "") -> Done:
    return Done(
        action=change.action,
        kind=change.ref.kind,
        name=" ".join(filter(None, change.ref.names)),
        detail=change.detail,
        outcome=outcome,
        seconds=seconds,
        error=error,
    )
