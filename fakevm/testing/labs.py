"""The labs of a run of pytest: which, begun, cleaned, taken down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from fakevm.backends import known
from fakevm.clients.engine import Engine
from fakevm.errors import ConflictError, for_each
from fakevm.library.lab import Lab
from fakevm.neutron.made import Made
from fakevm.protocol.lock import exclusive
from fakevm.testing import removal
from fakevm.testing.journal import NEW, Journal, Noted, folder, names
from fakevm.testing.options import Options
from fakevm.testing.run import Run

if TYPE_CHECKING:
    from fakevm.library.behind.words import LabWords

# How long others' labs may take that begin at the same time: they begin one after the other, so
# that no two choose the same subnets.
_BEGIN_S = 900.0


class Labs:
    """A run's labs: begun when a test wants one, and kept until the end."""

    def __init__(
        self,
        run: Run,
        options: Options,
        *,
        computes: int,
        say: Callable[[str], None],
        tell: Callable[[str], None],
    ) -> None:
        """computes: compute hosts of each lab; `say` hears each step, `tell` what the user sees."""
        self._run = run
        self._options = options
        self._computes = computes
        self._say = say
        self._tell = tell
        self._engine = Engine()
        # By name.
        self._labs: dict[str, Lab] = {}
        # What each of them was asked to be.
        self._asked: dict[str, LabWords] = {}
        # Those that this process wanted, also one that never came.
        self._begun: list[str] = []
        self._hearing = ExitStack()

    def __iter__(self) -> Iterator[Lab]:
        return iter(self._labs.values())

    def lab(self, name: str, backend: str, words: LabWords, heard: Callable[[Made], None]) -> Lab:
        """Return the run's lab of this name, begun if it is not there; `heard` is told of all made.

        Of what is there, what an earlier run has left is removed.
        """
        if name in self._labs:
            return self._labs[name]
        journal = Journal(name, folder())
        with exclusive("pytest", busy="other labs begin", wait_s=_BEGIN_S):
            there = self._engine.containers(lab=name)
            noted = journal.read()
            # Else another worker, with whom it is shared, has looked at it.
            first = noted.run != self._run.id
            if first:
                made = known_by(noted, self._networks(name) if there else None)
                if noted.made == NEW and not made:
                    self._tell(f"whose the lab {name} is nobody can tell, and so it stays")
                noted = replace(noted, run=self._run.id, made=made)
                journal.begin(noted)
            self._begun.append(name)
            asked = self._words(backend, words, sum(c.role == "compute" for c in there))
            noting = Noting(journal, noted, lambda: self._networks(name), self._say)
            lab = Lab.up(name, say=noting, **asked)
            lab.say = self._say
            self._labs[name], self._asked[name] = lab, asked
            # NEW: of another worker it has not come.
            if first or noted.made == NEW:
                self._clean(lab, noted.things if there else ())
                made = noted.made and self._networks(name)[0]
                journal.begin(Noted(run=self._run.id, made=made))

        def tell(made: Made) -> None:
            journal.note(made)
            heard(made)

        self._hearing.enter_context(lab.heard(tell))
        return lab

    def name(self, backend: str, words: LabWords) -> str:
        """Return the name of a lab of a backend: one that is there may have the plain one.

        ConflictError: the name that it should have is another one's.
        """
        plain = self._run.name(known.DEFAULT.name, words)
        there = {c.backend for c in self._engine.containers(lab=plain) if c.backend}
        if backend in there:
            return plain
        name = self._run.name(backend, words)
        if name == plain and there:
            other = known.get(there.pop())
            raise ConflictError(
                f"the lab {plain!r} has {other.title}, which stays as long as it does",
                hint=f"pytest --fakevm-backend {other.name}, or --fakevm-lab ANOTHER",
            )
        return name

    def _networks(self, name: str) -> list[str]:
        return sorted(one.id for one in self._engine.networks() if one.lab == name)

    def _clean(self, lab: Lab, things: Sequence[Made]) -> None:
        """Remove what an earlier run has left, which was killed."""
        left = removal.remove_all(lab, removal.left_of(lab, things))
        if left:
            told = ", ".join(map(removal.said, left))
            self._tell(f"removed what an earlier run has left in {lab.name}: {told}")

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

    def grow(self, lab: Lab, computes: int) -> None:
        """Let a lab have so many compute hosts, if it has fewer."""
        if len(lab.computes) >= computes:
            return
        with exclusive("pytest", busy="other labs begin", wait_s=_BEGIN_S):
            # Another worker, with whom it is shared, may have let it have more.
            lab.look_again()
            if len(lab.computes) < computes:
                asked = self._asked[lab.name]
                asked["computes"] = computes
                Lab.up(lab.name, say=self._say, **asked).close()
                lab.look_again()

    def close(self) -> None:
        """Hang up; a lab of its own is taken down, unless it is to be kept, or workers share it."""
        self._hearing.close()
        for lab in self._labs.values():
            lab.close()
        self._labs.clear()
        if not self._run.shared:
            end_each(self._begun, self._run.id, keep=self._options.keep)

    def stays(self, lab: Lab) -> bool:
        """Tell whether a lab is there after the run, too."""
        return self._options.keep or not Journal(lab.name, folder()).read().made


class Noting:
    """Hears the steps of a lab's beginning, and notes as early as can be by what it is known."""

    def __init__(
        self,
        journal: Journal,
        noted: Noted,
        networks: Callable[[], Sequence[str]],
        say: Callable[[str], None],
    ) -> None:
        """noted: what the journal says; `networks`: the lab's, as they are now."""
        self._journal = journal
        self._noted = noted
        self._networks = networks
        self._say = say

    def __call__(self, step: str) -> None:
        """Hear of a step."""
        self._say(step)
        if self._noted.made == NEW and (networks := self._networks()):
            self._noted = replace(self._noted, made=networks[0])
            self._journal.begin(self._noted)


def known_by(noted: Noted, networks: Sequence[str] | None) -> str:
    """Return by what a lab is known as a run's own; "": it is somebody else's.

    networks: the lab's; None: there is no lab. That a run began one of this name does not make it
    the run's: the run may have been killed before there was any, and the user have made it since.
    """
    if networks is None:
        return NEW
    return noted.made if noted.made in networks else ""


def end(name: str, run: str, *, keep: bool) -> None:
    """Take down a lab that a run has made; of one that stays, nothing more is to be done."""
    journal = Journal(name, folder())
    noted = journal.read()
    if noted.run != run:
        return
    if noted.made and not keep:
        Lab(name).down()
        journal.end()


def end_all(run: str, *, keep: bool) -> None:
    """Take down what a run's workers have left: what they shared, or that of one that was ended."""
    end_each(names(folder()), run, keep=keep)


def end_each(labs: Sequence[str], run: str, *, keep: bool) -> None:
    """Take down each that a run has made, also where another one can't be."""
    for_each(labs, lambda name: end(name, run, keep=keep))
