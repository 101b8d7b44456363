"""What a page shows, kept up to date while somebody looks at it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fakevm.display import picture
from fakevm.errors import FakevmError
from fakevm.lab import Lab
from fakevm.model import Entry
from fakevm.reach.graph import Graph

# A look at the lab costs Neutron some requests: that long is between the end of one and the next,
# unless an event says that something has changed.
LOOK_S = 1.0

# Who has not asked for so long has closed the page: then nobody looks.
WATCHED_S = 30.0

# How many events a page has.
EVENTS = 200


@dataclass(frozen=True, kw_only=True)
class State:
    """What a page shows."""

    # Grows with every change.
    version: int
    lab: str
    svg: str = ""
    # By id: a VM's name, host and ports.
    vms: Mapping[str, Mapping[str, Any]] | None = None
    # The latest, oldest first.
    events: tuple[Mapping[str, Any], ...] = ()
    # Why the picture is old, and why there are no new events, in words.
    trouble: str = ""
    deaf: str = ""


class Feed:
    """Looks at a lab again and again. Use it in a `with` block."""

    def __init__(
        self,
        open_lab: Callable[[], Lab],
        *,
        look_s: float = LOOK_S,
        watched_s: float = WATCHED_S,
    ) -> None:
        self._open_lab = open_lab
        self._look_s = look_s
        self._watched_s = watched_s
        self._state = State(version=0, lab="")
        self._graph: Graph | None = None
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        # Of all that stands above.
        self._changed = threading.Condition()
        # Something happened in the lab; somebody wants to see it.
        self._happened = threading.Event()
        self._watched = 0.0
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"ui-{work.__name__}", daemon=True)
            for work in (self._look, self._listen)
        ]

    def __enter__(self) -> Feed:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._happened.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(2 * self._look_s)

    @property
    def graph(self) -> Graph | None:
        """The lab as it was seen last; None: it was not seen yet."""
        return self._graph

    def after(self, version: int, *, timeout_s: float) -> State:
        """Return what there is as soon as it is newer than a version, or after this time."""
        with self._changed:
            if not self._is_watched():
                self._happened.set()
            self._watched = time.monotonic()
            self._changed.wait_for(
                lambda: self._state.version > version or self._over.is_set(), timeout_s
            )
            self._watched = time.monotonic()
            return self._state

    def tell(self) -> None:
        """Tell who waits that something else of the page has changed."""
        self._publish()

    def _is_watched(self) -> bool:
        return time.monotonic() - self._watched < self._watched_s

    def _publish(self, new: Iterable[Entry] = (), **changes: Any) -> None:
        with self._changed:
            self._events.extend(asdict(entry) for entry in new)
            told = {**vars(self._state), **changes, "events": tuple(self._events)}
            if told == vars(self._state) and changes:
                return
            self._state = State(**{**told, "version": self._state.version + 1})
            self._changed.notify_all()

    def _look(self) -> None:
        with self._open_lab() as lab:
            while not self._over.is_set():
                self._happened.clear()
                try:
                    lab.look_again()
                    graph = lab.graph()
                    svg, vms = picture.svg(graph), vms_of(graph)
                # A bug, too, is told, and the page looks again.
                except Exception as error:
                    self._publish(lab=lab.name, trouble=in_words(error))
                else:
                    self._graph = graph
                    self._publish(lab=lab.name, svg=svg, vms=vms, trouble="")
                self._happened.wait(self._look_s if self._is_watched() else None)

    def _listen(self) -> None:
        after = 0
        with self._open_lab() as lab:
            while not self._over.is_set():
                try:
                    entries, after = lab.events.read(after, timeout_s=self._look_s)
                except FakevmError:
                    # The other thread says what is wrong.
                    self._over.wait(self._look_s)
                    continue
                except Exception as error:
                    self._publish(deaf=in_words(error))
                    self._over.wait(self._look_s)
                    continue
                self._publish(entries, deaf="")
                if entries:
                    self._happened.set()


def in_words(error: Exception) -> str:
    """Return what a page tells of an error; of a bug its kind, too."""
    told = str(error)
    return told if isinstance(error, FakevmError) else f"a bug: {type(error).__name__}: {told}"


def vms_of(graph: Graph) -> dict[str, dict[str, Any]]:
    """Return each VM with its ports, as JSON has them."""
    networks = {node.id: node.label for node in graph.nodes if node.kind == "network"}
    return {
        node.id: {
            "name": node.label,
            "host": node.host,
            "ports": [
                {
                    "port_id": edge.port_id,
                    "network": networks[edge.network],
                    "addresses": edge.label,
                    "status": edge.status,
                    "differs": edge.differs,
                }
                for edge in graph.edges
                if edge.node == node.id
            ],
        }
        for node in graph.nodes
        if node.kind == "vm"
    }
