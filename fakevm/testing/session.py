"""One process of a run of pytest: its labs, and what its tests have made in them."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

from fakevm.errors import FakevmError
from fakevm.evidence.values import Evidence, pairs_in
from fakevm.neutron.made import Made
from fakevm.testing.labs import Labs
from fakevm.testing.options import Options
from fakevm.testing.owned import Things
from fakevm.testing.run import Run, reserved

if TYPE_CHECKING:
    from fakevm.library.behind.words import LabWords
    from fakevm.library.lab import Lab

# Of a file's name.
_LONGEST = 200


class Session:
    """A process that runs tests which use a lab."""

    def __init__(
        self, options: Options, *, hosts: int, handed: dict[str, Any] | None, worker: str
    ) -> None:
        """hosts: of each lab; `handed`: what a worker has of the one that started it."""
        self.options = options
        self._hosts = hosts
        self._handed = handed
        self._worker = worker
        # By a lab's name, why it is not there; and what a test has told of that already.
        self._failed: dict[str, FakevmError] = {}
        self._told: set[str] = set()
        # Since when the last lab is up, and what was done when, in seconds since the epoch.
        self.up_since = 0.0
        self.steps: list[tuple[float, str]] = []
        self._things = Things()
        self._held = ExitStack()
        self._run: Run | None = None
        self._labs: Labs | None = None

    # The run

    @property
    def run(self) -> Run:
        """The run that this process is part of."""
        if self._run is None:
            if self._handed is not None:
                self._run = Run(**self._handed, worker=self._worker)
            else:
                name = self._held.enter_context(reserved(self.options.lab))
                self._run = Run(id=secrets.token_hex(8), lab=name)
        return self._run

    # Labs

    def lab(self, backend: str, words: LabWords, tell: Callable[[str], None]) -> Lab:
        """Return the run's lab of a backend, begun if it is not there; `tell`: the user.

        One that can't be begun is not begun again.
        """
        called = self.run.name(backend, words)
        if called in self._failed:
            raise self._failed[called]
        if self._labs is None:
            self._labs = Labs(
                self.run, self.options, computes=self._hosts, say=self._step, tell=tell
            )
        began = time.monotonic()
        try:
            name = self._labs.name(backend, words)
            tell(f"the lab {name} begins")
            lab = self._labs.lab(name, backend, words, lambda made: self._things.hear(name, made))
        except FakevmError as error:
            self._failed[called] = error
            raise
        # What its beginning was is no part of a test.
        self.steps.clear()
        self.up_since = time.time()
        hosts = len(lab.computes)
        tell(f"the lab {name} is up: {backend}, {hosts} hosts, {time.monotonic() - began:.0f} s")
        return lab

    def tells(self, words: str) -> bool:
        """Tell whether these words are news to the user, who has them now."""
        news = words not in self._told
        self._told.add(words)
        return news

    def hosts_of(self, lab: Lab, count: int) -> list[str]:
        """Return so many compute hosts of a lab; those that it lacks are begun."""
        assert self._labs
        self._labs.grow(lab, count)
        return [f"compute-{number}" for number in range(1, count + 1)]

    def _step(self, text: str) -> None:
        self.steps.append((time.time(), text))

    # What is made

    def made_by(self, scope: str) -> AbstractContextManager[None]:
        """Let what is made meanwhile go with what has this scope."""
        return self._things.made_by(scope)

    def sweep(self, *scopes: str) -> list[Made]:
        """Remove what is left of what goes with one of these scopes; return what that was."""
        return self._things.sweep(self._labs or (), scopes)

    # What failed

    def evidence(self, lab: Lab, since: float, error: BaseException) -> Evidence:
        """Return what a lab tells of a failure of a test that began `since`."""
        since = max(since, self.up_since)
        steps = [step for step in self.steps if step[0] >= since]
        steps.append((time.time(), f"failed: {type(error).__name__}"))
        return lab.evidence(since=since, pairs=pairs_in(error), steps=steps)

    # The end

    def close(self) -> list[Made]:
        """End: what is left in a lab that stays is removed; return what that was."""
        removed: list[Made] = []
        try:
            if self._labs is not None:
                removed = self._things.sweep([one for one in self._labs if self._labs.stays(one)])
        finally:
            self._end()
        return removed

    def _end(self) -> None:
        try:
            if self._labs is not None:
                self._labs.close()
        finally:
            self._held.close()


def told(error: FakevmError) -> str:
    """Return an error in words, with what mends it."""
    words = f"{error}{f': {error.hint}' if error.hint else ''}"
    return "; ".join([words, *getattr(error, "__notes__", ())])


def file_name(nodeid: str) -> str:
    """Return a folder's name for a test: "tests-test_web.py-test_port_80[ovs]"."""
    return re.sub(r"[^\w.\[\]-]+", "-", nodeid.replace("::", "-"))[-_LONGEST:].strip("-")
