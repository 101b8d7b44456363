"""The labs of a run of pytest: which, begun, cleaned, taken down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from fakevm.backends import known
from fakevm.clients.engine import Engine
from fakevm.errors import ConflictError
from fakevm.library.lab import Lab
from fakevm.neutron.made import Made
from fakevm.protocol.lock import exclusive
from fakevm.testing import removal
from fakevm.testing.journal import Journal, folder
from fakevm.testing.options import Options

if TYPE_CHECKING:
    from fakevm.library.words import LabWords

# How long others' labs may take that begin at the same time: they begin one after the other, so
# that no two choose the same subnets.
_BEGIN_S = 900.0

# Runs of pytest at once on one machine.
_RUNS = 100


@contextmanager
def reserved(lab: str) -> Iterator[str]:
    """Hold a name for this run's labs: this one, or as another run has it, with a number."""
    with ExitStack() as held:
        for number in range(1, _RUNS):
            name = lab if number == 1 else f"{lab}-{number}"
            try:
                held.enter_context(exclusive(f"{name}/pytest", busy=f"{name} is another run's"))
            except ConflictError:
                continue
            yield name
            return
        raise ConflictError(f"{_RUNS} runs of pytest have labs of the name {lab!r}")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of pytest, as all its workers know it."""

    # A word of its own.
    id: str
    # What its labs' names begin with.
    lab: str
    # Whether all workers have one lab.
    shared: bool = False
    # "gw0"; "": it has no workers.
    worker: str = ""

    def name(self, backend: str) -> str:
        """Return the name of its lab of a backend; that of the default has no word for it."""
        own = "" if self.shared else self.worker
        other = "" if backend == known.DEFAULT.name else backend
        return "-".join(filter(None, (self.lab, own, other)))


class Labs:
    """A run's labs: begun when a test wants one, and kept until the end."""

    def __init__(
        self,
        run: Run,
        options: Options,
        *,
        computes: int,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """computes: compute hosts of each lab; say: is told the progress."""
        self._run = run
        self._options = options
        self._computes = computes
        self._say = say
        self._engine = Engine()
        # By backend.
        self._labs: dict[str, Lab] = {}
        self._hearing = ExitStack()

    def __iter__(self) -> Iterator[Lab]:
        return iter(self._labs.values())

    def lab(self, backend: str, words: LabWords, heard: Callable[[Made], None]) -> Lab:
        """Return the run's lab of a backend, begun if it is not there; `heard` is told of all made.

        Of what is there, what an earlier run has left is removed.
        """
        if backend in self._labs:
            return self._labs[backend]
        name = self._run.name(backend)
        journal = Journal(name, folder())
        with exclusive("pytest", busy="other labs begin", wait_s=_BEGIN_S):
            there = [c for c in self._engine.containers(lab=name) if c.role == "compute"]
            noted = journal.read()
            mine = noted.run == self._run.id
            if not mine:
                # A lab that nobody has is made, and so this run's.
                journal.begin(self._run.id, made_lab=not there or noted.made_lab)
                for one in noted.things:
                    journal.note(one)
            lab = Lab.up(name, say=self._say, **self._words(backend, words, len(there)))
            self._labs[backend] = lab
            if not mine:
                left = removal.remove_all(lab, noted.things if there else ())
                if told := ", ".join(map(removal.said, left)):
                    self._say(f"removed what an earlier run has left: {told}")
                journal.begin(self._run.id, made_lab=not there or noted.made_lab)

        def made(one: Made) -> None:
            journal.note(one)
            heard(one)

        self._hearing.enter_context(lab.heard(made))
        return lab

    def _words(self, backend: str, words: LabWords, there: int) -> LabWords:
        """Return what the lab is to be: as the test's own fixture says, and the options."""
        asked: LabWords = {}
        if self._options.neutron:
            asked["neutron"] = self._options.neutron
        if self._options.neutron_src:
            asked["neutron_src"] = self._options.neutron_src
        # None of what is there is taken away.
        hosts = self._options.hosts or max(self._computes, there)
        return {"computes": hosts, **words, "backend": cast("Any", backend), **asked}

    def grow(self, lab: Lab, computes: int, words: LabWords) -> None:
        """Let a lab have so many compute hosts, if it has fewer."""
        if len(lab.computes) < computes:
            with exclusive("pytest", busy="other labs begin", wait_s=_BEGIN_S):
                backend = next(name for name, one in self._labs.items() if one is lab)
                more = self._words(backend, words, 0)
                more["computes"] = computes
                Lab.up(lab.name, say=self._say, **more).close()
            lab.look_again()

    def close(self) -> None:
        """Hang up; a lab of its own is taken down, unless it is to be kept, or workers share it."""
        self._hearing.close()
        for lab in self._labs.values():
            lab.close()
        self._labs.clear()
        if not self._run.shared:
            for backend in known.BACKENDS:
                end(self._run.name(backend.name), self._run.id, keep=self._options.keep)


def end(name: str, run: str, *, keep: bool) -> None:
    """Take down a lab that a run has made; of one that stays, nothing more is to be done."""
    journal = Journal(name, folder())
    noted = journal.read()
    if noted.run != run:
        return
    if noted.made_lab and not keep:
        Lab(name).down()
        journal.end()


def end_all(run: Run, workers: Mapping[str, object], *, keep: bool) -> None:
    """Take down what workers have left: the lab that they shared, or one whose worker has ended."""
    names = {
        Run(id=run.id, lab=run.lab, shared=run.shared, worker=worker).name(backend)
        for worker in (*workers, "")
        for backend in (one.name for one in known.BACKENDS)
    }
    for name in sorted(names):
        end(name, run.id, keep=keep)
