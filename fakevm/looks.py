"""What can be seen of a running lab: nothing of it is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fakevm import capture, evidence, inventory, labfile, labs, logs, reach, recipe, trace
from fakevm.inventory.lookup import Lookup

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from fakevm.backends.packet import Protocol
    from fakevm.capture.run import Capture
    from fakevm.capture.sinks import Sink
    from fakevm.evidence.values import Evidence, Pair
    from fakevm.inventory.rows import Row
    from fakevm.labfile.save import Saved
    from fakevm.labs.status import Status
    from fakevm.logs.bug_report import BugReport
    from fakevm.logs.lines import Line, Wanted
    from fakevm.reach.graph import Graph
    from fakevm.reach.matrix import Matrix
    from fakevm.recipe.config import Setting
    from fakevm.trace.values import Trace

# How often who follows the logs hears that nothing was said.
LOOK_S = 1.0


class Looks(Lookup):
    """What can be looked at in a lab."""

    def rows(self) -> list[Row]:
        """Return every VM's ports: what Neutron says and what the hosts have, side by side."""
        return inventory.overview.rows(self)

    def show(self, ref: str) -> Row:
        """Return one port: what Neutron says and what its host has."""
        return inventory.overview.row(self, self.find(ref))

    def ping(self, refs: Sequence[str] = ()) -> Matrix:
        """Ping from each of these VMs to each other one, of all VMs if none is named."""
        return reach.matrix.ping(self, refs)

    def trace(
        self,
        source: str,
        target: str,
        *,
        protocol: Protocol = "icmp",
        port: int | None = None,
        live: bool = False,
    ) -> Trace:
        """Return where a packet goes that one VM sends to another, and what drops it.

        live: some are sent, and counted on the way.
        """
        return trace.way.of(self, source, target, protocol=protocol, port=port, live=live)

    def graph(self) -> Graph:
        """Return the lab as a picture."""
        return reach.graph.of(self)

    def capture(
        self,
        refs: Sequence[str] = (),
        *,
        to: Path | Sink,
        bpf: str = "",
        count: int | None = None,
    ) -> Capture:
        """Return a capture at these VMs, VIFs, hosts and links, of none named at all there are.

        It is under way in its `with` block. `to`: a pcapng file, or what else takes packets.
        """
        sink = capture.sinks.PcapngSink(to) if isinstance(to, os.PathLike) else to
        wanted = capture.find.wanted(self, refs)
        return capture.run.Capture(self, wanted, sink, bpf=bpf, count=count)

    def configuration(self, service: str | None = None) -> list[Setting]:
        """Return what Neutron's processes were started with, in one service or host or in all."""
        return recipe.config.settings_of(self, service)

    def save(self) -> Saved:
        """Return the lab as it is, in a lab file's words."""
        return labfile.save.of(self, engine=self._engine)

    def status(self) -> Status:
        """Return the lab at a glance; what does not answer is shown as such."""
        self.look_again()
        return labs.status.of(self)

    def watch(self) -> Iterator[Status]:
        """Yield the lab at a glance whenever the next one is asked for, as long as it is wanted.

        Also while it is away.
        """
        return labs.watch.watch(self)

    def logs(self, wanted: Wanted) -> Iterator[list[Line]]:
        """Yield what the containers have said, in the order of its times, some lines at a time."""
        found = logs.lines.sources(self, wanted, engine=self._engine)
        return logs.lines.kept(self, found, wanted, engine=self._engine)

    def follow_logs(self, wanted: Wanted, *, look_s: float = LOOK_S) -> Iterator[list[Line]]:
        """Yield that and what comes after it, for ever; [] when `look_s` were quiet.

        Containers may restart meanwhile.
        """
        return logs.follow.follow(self, wanted, engine=self._engine, look_s=look_s)

    def evidence(
        self,
        *,
        since: float,
        until: float | None = None,
        pairs: Sequence[Pair] = (),
        steps: Sequence[tuple[float, str]] = (),
    ) -> Evidence:
        """Return what the lab tells of a time window in which something failed.

        Times are seconds since the epoch. pairs: who did not reach whom; steps: what was done
        meanwhile. It does not fail: what can't be had is named.
        """
        return evidence.collect.collect(
            self, since=since, until=until, pairs=pairs, steps=steps, engine=self._engine
        )

    def bug_report(self, to: Path | IO[bytes]) -> BugReport:
        """Write an archive with what can be seen of the lab, and none of its passwords."""
        if isinstance(to, os.PathLike):
            return logs.bug_report.save(self, to, engine=self._engine)
        return logs.bug_report.write(self, to, engine=self._engine)
