"""One process of a run of pytest: its labs, and what its tests have made in them."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fakevm.errors import FakevmError
from fakevm.evidence.values import Evidence, pairs_in
from fakevm.neutron.made import Made
from fakevm.testing import removal
from fakevm.testing.labs import Labs
from fakevm.testing.options import Options
from fakevm.testing.run import Run, reserved

if TYPE_CHECKING:
    from fakevm.library.lab import Lab
    from fakevm.library.words import LabWords

# Of things that go with their test.
FUNCTION = "function"

# Of a file's name.
_LONGEST = 200


@dataclass(frozen=True, kw_only=True)
class Owned:
    """What was made, and with what it goes: pytest's word for a fixture's scope."""

    lab: str
    scope: str
    made: Made


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
        # Why there is no lab.
        self.failed = ""
        # Whose what is made just now is.
        self.scope = FUNCTION
        # Since when the last lab is up, and what was done when, in seconds since the epoch.
        self.up_since = 0.0
        self.steps: list[tuple[float, str]] = []
        self._made: list[Owned] = []
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
        """Return the run's lab of a backend, begun if it is not there; `tell`: the user."""
        if self._labs is None:
            self._labs = Labs(
                self.run, self.options, computes=self._hosts, say=self._step, tell=tell
            )
        began = time.monotonic()
        try:
            name = self._labs.name(backend, words)
            tell(f"the lab {name} begins")
            lab = self._labs.lab(name, backend, words, lambda made: self._hear(name, made))
        except FakevmError as error:
            self.failed = f"{error}{f': {error.hint}' if error.hint else ''}"
            raise
        # What its beginning was is no part of a test.
        self.steps.clear()
        self.up_since = time.time()
        hosts = len(lab.computes)
        tell(f"the lab {name} is up: {backend}, {hosts} hosts, {time.monotonic() - began:.0f} s")
        return lab

    def hosts_of(self, lab: Lab, count: int) -> list[str]:
        """Return so many compute hosts of a lab; those that it lacks are begun."""
        assert self._labs
        self._labs.grow(lab, count)
        return [f"compute-{number}" for number in range(1, count + 1)]

    def _step(self, text: str) -> None:
        self.steps.append((time.time(), text))

    # What is made

    def _hear(self, lab: str, made: Made) -> None:
        self._made.append(Owned(lab=lab, scope=self.scope, made=made))

    @contextmanager
    def made_by(self, scope: str) -> Iterator[None]:
        """Let what is made meanwhile go with what has this scope."""
        before, self.scope = self.scope, scope
        try:
            yield
        finally:
            self.scope = before

    def sweep(self, *scopes: str) -> list[Made]:
        """Remove what is left of what goes with one of these scopes; return what that was."""
        mine = [one for one in self._made if one.scope in scopes]
        removed: list[Made] = []
        for lab in self._labs or ():
            made = [one.made for one in mine if one.lab == lab.name]
            removed += removal.remove_all(lab, removal.left_of(lab, made))
        self._made = [one for one in self._made if one.scope not in scopes]
        return removed

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
                staying = {lab.name for lab in self._labs if self._labs.stays(lab)}
                self._made = [one for one in self._made if one.lab in staying]
                removed = self.sweep(*{one.scope for one in self._made})
        finally:
            self._end()
        return removed

    def _end(self) -> None:
        try:
            if self._labs is not None:
                self._labs.close()
        finally:
            self._held.close()


def file_name(nodeid: str) -> str:
    """Return a folder's name for a test: "tests-test_web.py-test_port_80[ovs]"."""
    return re.sub(r"[^\w.\[\]-]+", "-", nodeid.replace("::", "-"))[-_LONGEST:].strip("-")
