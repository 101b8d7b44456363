"""Migrations that a page asked for: each with its steps as they come, and what was lost."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from fakevm.display import moving, output
from fakevm.errors import ConflictError, FakevmError
from fakevm.lab import Lab
from fakevm.migrate.request import MigrationRequest
from fakevm.reach.graph import Graph
from fakevm.reports import words
from fakevm.reports.migration import MigrationReport
from fakevm.ui.feed import in_words

if TYPE_CHECKING:
    from fakevm.migrate.look import Look

# How many a page has.
KEPT = 20

# How often it is shown what is seen of one.
SHOWN_S = 0.3

# How long its prober may take to hear from the VM: where it can't, nobody waits longer.
PROBED_S = 5.0

# Gets what tells how far a migration is.
Begin = Callable[[Callable[[], "Look"]], None]

OpenLab = Callable[[Callable[[str], None]], Lab]


@dataclass(kw_only=True)
class Running:
    """A migration as it goes on; times are seconds since the epoch."""

    instance_id: str
    vm: str
    destination: str
    # Who probes it; "": nobody could.
    prober: str
    began: float
    # Why the prober could not, in words.
    unprobed: str = ""
    # What was said, a line a step.
    steps: list[str] = field(default_factory=list)
    state: Literal["running", "moved", "failed"] = "running"
    # What the prober sees and the step that is carried out, while it runs.
    now: list[str] = field(default_factory=list)
    # What became of it, and what was lost.
    verdict: str = ""


class Moves:
    """The latest migrations of a page."""

    def __init__(
        self, open_lab: OpenLab, *, tell: Callable[[], None], probed_s: float = PROBED_S
    ) -> None:
        """`tell` is called whenever there is news of one."""
        self._open_lab = open_lab
        self._tell = tell
        self._probed_s = probed_s
        self._lock = threading.Lock()
        self._moves: deque[Running] = deque(maxlen=KEPT)
        self._threads: list[threading.Thread] = []
        self._finishing = False

    def finish(self) -> None:
        """Start no more, and wait for those that run."""
        with self._lock:
            self._finishing = True
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    @property
    def running(self) -> list[str]:
        """The names of the VMs that migrate."""
        with self._lock:
            return [move.vm for move in self._moves if move.state == "running"]

    def told(self) -> list[dict[str, Any]]:
        """Return them as JSON has them, the latest first."""
        with self._lock:
            return [asdict(move) for move in reversed(self._moves)]

    def start(self, graph: Graph, instance_id: str, destination: str) -> None:
        """Start a live migration; ConflictError, where there is none to start."""
        names = {node.id: node for node in graph.nodes if node.kind == "vm"}
        if instance_id not in names:
            raise ConflictError(f"there is no VM {instance_id}")
        if destination not in graph.hosts:
            raise ConflictError(f"there is no compute host {destination}")
        vm = names[instance_id]
        if vm.host == destination:
            raise ConflictError(f"{vm.label} is on {destination}")
        move = Running(
            instance_id=instance_id,
            vm=vm.label,
            destination=destination,
            prober=prober(graph, instance_id),
            began=time.time(),
        )
        with self._lock:
            if self._finishing:
                raise ConflictError("the page is ending")
            if any(m.instance_id == instance_id and m.state == "running" for m in self._moves):
                raise ConflictError(f"{vm.label} is migrating")
            self._moves.append(move)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            # Ended by its own end alone: half a migration is nobody's wish.
            thread = threading.Thread(target=self._carry_out, args=(move,), name="ui-migrate")
            self._threads.append(thread)
            # Here, since who finishes can't wait for what was not started.
            thread.start()
        self._tell()

    def _carry_out(self, move: Running) -> None:
        reports: list[MigrationReport] = []
        error = ""
        try:
            with (
                self._open_lab(lambda line: self._note(move, line)) as lab,
                self._shown(move) as show,
            ):
                self._migrate(lab, move, on_begin=show, on_report=reports.append)
        # A bug, too, is told: what has ended does not run.
        except Exception as caught:
            error = in_words(caught)
        told = words.verdict(output.plain(reports[0])) if reports else error
        with self._lock:
            move.state, move.verdict, move.now = ("failed" if error else "moved"), told, []
        self._tell()

    def _migrate(
        self,
        lab: Lab,
        move: Running,
        *,
        on_begin: Begin,
        on_report: Callable[[MigrationReport], None],
    ) -> None:
        """Migrate with a prober; where it hears nothing of the VM, without one."""
        unprobed = ""
        begun = False

        def begin(look: Callable[[], Look]) -> None:
            nonlocal begun
            begun = True
            if unprobed:
                with self._lock:
                    move.prober, move.unprobed = "", unprobed
            on_begin(look)

        request = MigrationRequest(
            destination=move.destination,
            probes=[move.prober] if move.prober else [],
            probe_s=self._probed_s,
        )
        try:
            lab.migrate(move.instance_id, request, on_begin=begin, on_report=on_report)
        except FakevmError as error:
            # What has begun did not fail by its prober.
            if begun or not request.probes:
                raise
            unprobed = str(error)
            request = replace(request, probes=())
            lab.migrate(move.instance_id, request, on_begin=begin, on_report=on_report)

    @contextmanager
    def _shown(self, move: Running) -> Iterator[Begin]:
        """Show what is seen of a migration from when it begins to the block's end."""
        over = threading.Event()

        def show(look: Callable[[], Look]) -> None:
            while not over.wait(SHOWN_S):
                with self._lock:
                    move.now = moving.lines(look())
                self._tell()

        with ThreadPoolExecutor(1, "ui-look") as pool:

            def begin(look: Callable[[], Look]) -> None:
                pool.submit(show, look)

            try:
                yield begin
            finally:
                over.set()

    def _note(self, move: Running, line: str) -> None:
        with self._lock:
            move.steps.append(line)
        self._tell()


def prober(graph: Graph, instance_id: str) -> str:
    """Return a port of another VM, that runs, on one of the VM's networks; "" where none is."""
    networks = {edge.network for edge in graph.edges if edge.node == instance_id}
    others = {
        node.id
        for node in graph.nodes
        if node.kind == "vm"
        and node.id != instance_id
        and not node.down
        and node.host not in graph.down
    }
    return next(
        (
            edge.port_id
            for edge in graph.edges
            if edge.node in others and edge.network in networks and not edge.down
        ),
        "",
    )
