"""Collects evidence of a failure: all at once, within a bound, whatever of the lab is broken."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from fakevm import inventory, labfile, labs
from fakevm.clients.containers import Container
from fakevm.clients.engine import Engine
from fakevm.errors import FakevmError, NotFoundError
from fakevm.evidence import asking, files, hosts, state, telling, timeline, words
from fakevm.evidence.asking import Log
from fakevm.evidence.deadline import Asked, Deadline
from fakevm.evidence.hosts import HostFound
from fakevm.evidence.values import Evidence, File, Moment, Pair
from fakevm.evidence.words import Told
from fakevm.logs import bug_report, redaction
from fakevm.trace.values import Trace

if TYPE_CHECKING:
    from fakevm.inventory.lookup import Lookup
    from fakevm.labfile.save import Saved

__all__ = ["Pair", "collect"]

T = TypeVar("T")

# How long all of it may take. The last part is for hosts: of many it is known by what was asked in
# the first one which of them are worth a look.
WITHIN_S = 45.0
_FIRST_PART = 0.8

# How long Neutron and an agent may take for one answer.
_PATIENCE_S = 8.0

# What the end of a time window has led to is said so much later.
_LATER_S = 1.0

# Of so many pairs the way is asked for: each is some processes in hosts.
_PAIRS = 6


def collect(
    lab: Lookup,
    *,
    since: float,
    until: float | None = None,
    pairs: Sequence[Pair] = (),
    steps: Sequence[tuple[float, str]] = (),
    engine: Engine | None = None,
    within_s: float = WITHIN_S,
) -> Evidence:
    """Return what a lab tells of a time window; what it does not tell is named, with the reason.

    Times are seconds since the epoch; until: now, if it is not given. pairs: who did not reach
    whom. steps: what was done meanwhile, in the caller's words.
    """
    end = time.time() if until is None else until
    own = lab.aside(patience_s=_PATIENCE_S)
    collecting = _Collecting(own, since, end, engine or Engine(), within_s)
    try:
        return collecting.collect(list(dict.fromkeys(pairs)), steps, beside=lab)
    finally:
        with suppress(FakevmError):
            own.close()


class _Collecting:
    """Of one lab and one time window."""

    def __init__(
        self, lab: Lookup, since: float, until: float, engine: Engine, within_s: float
    ) -> None:
        self._lab = lab
        self._since = since
        self._until = until
        self._engine = engine
        self._first = Deadline(within_s * _FIRST_PART)
        self._last = Deadline(within_s)
        self._files: list[File] = []
        # Why what could not be had.
        self._missing: dict[str, str] = {}

    def collect(
        self, pairs: Sequence[Pair], steps: Sequence[tuple[float, str]], *, beside: Lookup
    ) -> Evidence:
        """Return all that there is, without the lab's passwords.

        beside: the same lab, by whose connection its last steps may be under way.
        """
        said = list(timeline.of_test(steps))
        asked = self._first.ask(self._secrets)
        secrets = self._take("the lab", asked)
        # Who does not know them shows nothing of the lab.
        told = self._told("", said) if secrets is None else self._ask(pairs, said, beside)
        hide = redaction.hiding(secrets or ())
        made = words.lines(told, hide=hide)
        self._files += [
            File(name="evidence.txt", text=files.text_of(made)),
            files.of_moments(told.moments, self._since),
            *files.of_missing(self._missing),
        ]
        return Evidence(
            lab=self._lab.name,
            lines=made,
            files=tuple(File(name=one.name, text=hide(one.text)) for one in self._files),
        )

    def _secrets(self) -> set[str]:
        """Return the lab's passwords, if it is one that this fakevm knows."""
        _ = self._lab.backend
        return bug_report.secrets(self._lab.containers, engine=self._engine)

    def _told(
        self,
        what: str,
        moments: Sequence[Moment],
        ways: Sequence[tuple[Pair, Trace | str]] = (),
        not_well: Sequence[str] = (),
    ) -> Told:
        return Told(
            lab=self._lab.name,
            what=what,
            since=self._since,
            until=self._until,
            ways=ways,
            state=not_well,
            moments=timeline.ordered(moments),
            missing=self._missing,
        )

    def _ask(self, pairs: Sequence[Pair], said: Sequence[Moment], beside: Lookup) -> Told:
        lab, ask, end = self._lab, self._first.ask, self._until + _LATER_S
        # What all threads have in common, before there are any.
        _ = lab.events
        with suppress(FakevmError):
            _ = lab.neutron
        there = {one.service: one for one in lab.containers if one.is_host and one.running}
        # Of more hosts it is known later which are worth a look.
        looked = self._look(there, there if len(there) <= state.HOSTS else ())
        traced = [(pair, ask(partial(asking.way, lab, pair))) for pair in pairs[:_PAIRS]]
        status = ask(lambda: labs.status.of(lab))
        rows = ask(lambda: inventory.overview.rows(lab))
        agents = ask(lambda: lab.neutron.agents())
        events = ask(lambda: asking.events(lab, self._since, end, beside=beside))
        logs = [Log(lab, one, self._since, end, engine=self._engine) for one in lab.containers]
        read = [(log, ask(log.read)) for log in logs]
        texts = self._texts()
        saved = ask(lambda: labfile.save.of(lab, engine=self._engine))

        ways = [(pair, self._way(pair, one)) for pair, one in traced]
        ways += [(pair, f"not traced: {_PAIRS} pairs are enough") for pair in pairs[_PAIRS:]]
        seen, known = self._take("status", status), self._take("the VMs' ports", rows) or []
        if len(there) > state.HOSTS:
            looked = self._look(there, state.concerned(list(there), ways, known, seen))

        moments = [*said, *(moment for log, one in read for moment in self._logged(log, one))]
        if answer := self._take("events", events):
            entries, names = answer
            self._files.append(files.of_events(entries))
            moments += timeline.of_events(
                entries, {**names, **{row.instance_id: row.vm_name for row in known}}
            )
        self._add(texts, saved)
        dead = self._take("Neutron's agents", agents) or []
        found = dict(self._looked(looked))
        moments += state.restarts(found, self._since, end)
        self._files.append(files.of_values("vms.json", [asdict(row) for row in known]))
        not_well = list(state.of_ports(known))
        if seen:
            self._files.append(files.of_values("status.json", asdict(seen)))
            not_well = [*state.of_hosts(seen, dead, found), *not_well]
        return self._told(self._what(), moments, ways, not_well)

    def _texts(self) -> dict[str, Asked[str]]:
        """Ask for what becomes a file as it is: Neutron's objects, and what services say."""
        lab, ask = self._lab, self._first.ask
        objects = {
            f"neutron/{kind.replace('/', '-')}.json": ask(partial(asking.objects, lab, kind))
            for kind in bug_report.COLLECTIONS
        }
        services = {
            f"services/{service}/{bug_report.file_name(argv)}": ask(
                partial(asking.output, lab, service, argv)
            )
            for service, argv in lab.backend.inspected
        }
        return objects | services

    def _look(
        self, there: Mapping[str, Container], wanted: Iterable[str]
    ) -> dict[str, Asked[HostFound]]:
        return {host: self._last.ask(partial(hosts.look, there[host])) for host in wanted}

    def _take(self, name: str, asked: Asked[T]) -> T | None:
        """Return an answer; None, where there is none, which is noted with the reason."""
        try:
            return asked.answer()
        except FakevmError as error:
            self._missing[name] = _in_one_line(error)
            return None

    def _way(self, pair: Pair, asked: Asked[Trace]) -> Trace | str:
        try:
            found = asked.answer()
        except FakevmError as error:
            return f"not traced: {_in_one_line(error)}"
        self._files += files.of_way(pair, found)
        return found

    def _logged(self, log: Log, asked: Asked[None]) -> list[Moment]:
        self._take(f"the log of {log.container.service}", asked)
        # So far, if it was cut off.
        found = log.lines
        self._files += files.of_logs(found, supervised=log.supervised)
        return telling.once(telling.moments(found))

    def _looked(self, asked: Mapping[str, Asked[HostFound]]) -> Iterator[tuple[str, HostFound]]:
        for host, one in asked.items():
            found = self._take(f"processes and flows of {host}", one)
            if found is not None:
                self._files += files.of_host(host, found)
                yield host, found

    def _add(self, texts: Mapping[str, Asked[str]], saved: Asked[Saved]) -> None:
        for name, asked in texts.items():
            try:
                self._files.append(File(name=name, text=asked.answer()))
            except NotFoundError:
                # This Neutron has no such extension.
                continue
            except FakevmError as error:
                self._missing[name] = _in_one_line(error)
        if (lab := self._take("lab.yaml", saved)) is not None:
            self._files.append(files.of_lab(lab))

    def _what(self) -> str:
        """Return what the lab runs, as "ML2/OVS, Neutron 28.0.2"; "" where nobody says."""
        with suppress(FakevmError):
            return f"{self._lab.backend.title}, Neutron {self._lab.neutron_version}"
        return ""


def _in_one_line(error: FakevmError) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
