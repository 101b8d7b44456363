"""A run of pytest, as all its workers know it, and the names of its labs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from fakevm.backends import known
from fakevm.errors import ConflictError
from fakevm.protocol.lock import exclusive

# Of what a project's words make of a lab, in its name.
_MARK = 4

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

    def name(self, backend: str, words: Mapping[str, Any]) -> str:
        """Return the name of its lab of a backend, and of what a project's own words make of it.

        A run that comes after finds the lab by it, so that it has no number.
        """
        own = "" if self.shared else self.worker
        other = "" if backend == known.DEFAULT.name else backend
        asked = json.dumps(words, default=str, sort_keys=True).encode()
        mark = hashlib.sha256(asked).hexdigest()[:_MARK] if words else ""
        return "-".join(filter(None, (self.lab, own, other, mark)))
