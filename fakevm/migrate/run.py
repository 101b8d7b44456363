"""A migration from its checks to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress

from fakevm.errors import FakevmError, UnavailableError
from fakevm.inventory.lookup import Lookup
from fakevm.migrate.checked import Checked
from fakevm.migrate.look import Look
from fakevm.migrate.move import Move
from fakevm.migrate.observe import Observer
from fakevm.migrate.request import MigrationRequest, protocol
from fakevm.neutron.values import HttpRequest, Port
from fakevm.protocol.journal import Journal, note
from fakevm.protocol.lock import exclusive_vm
from fakevm.protocol.steps import Protocol, carry_out
from fakevm.reports.migration import MigrationReport


def migrate(
    lab: Lookup,
    port: Port,
    request: MigrationRequest,
    *,
    on_request: Callable[[HttpRequest], None] = lambda _request: None,
    on_begin: Callable[[Callable[[], Look]], None] = lambda _look: None,
    on_report: Callable[[MigrationReport], None] = lambda _report: None,
    on_step: Callable[[str], None] | None = None,
) -> MigrationReport:
    """Move the VM that has a port and return what was seen.

    All is checked before anything is changed. `on_begin` gets what tells how far it is, for one
    other thread; `on_report` gets the report of a failure, too; `on_step` is told of
    each step, or else the lab's user.
    """
    steps = protocol(request.kind, post_copy=request.post_copy, confirm=request.confirm)
    request.faults.check(steps.names())
    instance_id = port.device_id or port.id
    with exclusive_vm(lab.home, instance_id), ExitStack() as stack:
        requests: list[HttpRequest] = []

        def keep(sent: HttpRequest) -> None:
            requests.append(sent)
            on_request(sent)

        move = Checked(lab, port, request).move(lab.neutron.traced(keep))
        journal = Journal(say=on_step or lab.say, tell=note(lab.events, instance_id))
        observer = stack.enter_context(
            Observer(
                *(lab, move, requests),
                probes=request.probes,
                rate=request.rate,
                probe_s=request.timeout_s if request.probe_s is None else request.probe_s,
                watch=request.watch,
                arrived=_after_plug(steps),
            )
        )
        observer.begin()
        on_begin(lambda: observer.look(journal))
        # Nova knows where each server is, and answers Neutron's events by it.
        lab.events.register_vm(move.vm, host=move.source_name)
        started = time.time()
        error: BaseException | None = None
        try:
            carry_out(steps, move, journal, faults=request.faults, before=observer.before)
        except FakevmError as caught:
            error = caught
            if _arrived(steps, journal):
                _say_where(caught, move)
            elif isinstance(caught, UnavailableError) or _half_undone(journal):
                # Who did not answer may do later what it was asked for.
                _hint(caught, f"what is left of it: fakevm migrate --abort {port.id}")
            raise
        except BaseException as caught:
            error = caught
            raise
        finally:
            if _arrived(steps, journal):
                came_from = "" if request.confirm else move.source_name
                # What failed after that is told, and not that Nova can't be told.
                with suppress(FakevmError) if error else nullcontext():
                    lab.events.register(
                        instance_id, host=move.destination_name, resized_from=came_from
                    )
            report = observer.report(
                request.kind, journal.times, started=started, ended=time.time(), error=error
            )
            on_report(report)
    return report


def _arrived(steps: Protocol[Move], journal: Journal) -> bool:
    """Tell whether the point of no return was passed: the VM is at the destination."""
    last = steps.steps[-1].name
    return any(one.name == last and one.outcome == "done" for one in journal.times)


def _half_undone(journal: Journal) -> bool:
    """Tell whether an undo failed, too."""
    return sum(one.outcome == "failed" for one in journal.times) > 1


def _after_plug(steps: Protocol[Move]) -> str:
    """Return the step before which the VM is plugged at the destination."""
    names = steps.names()
    return names[names.index("plug") + 1]


def _say_where(error: FakevmError, move: Move) -> None:
    error.add_note(f"the VM is on {move.destination_name} all the same")
    shows = (f"fakevm show {nic.port.id}" for nic in move.nics)
    ports = ", ".join(show for show in shows if show not in (error.hint or ""))
    _hint(error, ports, f"fakevm cleanup, for what is left on {move.source_name}")


def _hint(error: FakevmError, *more: str) -> None:
    """Add to what an error says of its mending."""
    error.hint = "; ".join(filter(None, (error.hint, *more)))
