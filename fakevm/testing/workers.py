"""The process that has pytest-xdist's workers: which labs they have, and the end of those."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fakevm import preflight, recipe, testing
from fakevm.backends import known
from fakevm.testing.options import Options
from fakevm.testing.run import Run, reserved


class Workers:
    """Tells each worker which run it is part of."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._held = ExitStack()
        self._run: Run | None = None

    def hand(self, count: int) -> dict[str, Any]:
        """Return what a worker has to know, one of so many: a `Run` without its own name."""
        if self._run is None:
            name = self._held.enter_context(reserved(self._options.lab))
            shared = self._options.shared or not self._is_room_for(count)
            self._run = Run(id=secrets.token_hex(8), lab=name, shared=shared)
        handed = asdict(self._run)
        del handed["worker"]
        return handed

    def _is_room_for(self, count: int) -> bool:
        """Tell whether this machine has the memory for so many labs; if nobody can tell, yes."""
        there = preflight.machine.kernel(Path("/")).memory_mb
        backend = known.get(self._options.backend)
        hosts = self._options.hosts or recipe.settings.DEFAULT_COMPUTES
        each = backend.lab_mb + backend.host_mb * hosts
        return there is None or there >= each * count * preflight.checks.SPARE_MEMORY

    def close(self) -> None:
        """Take down what the workers have left: what they shared, or one's that was ended."""
        with self._held:
            if self._run is not None:
                testing.labs.end_all(self._run.id, keep=self._options.keep)
