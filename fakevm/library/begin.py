"""A lab is brought up by who has no lab yet: the command line, and `Lab.up`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fakevm import clients, labfile, labs, library, preflight
from fakevm.labs.settings import Wishes
from fakevm.labs.up import UpReport


def up(lab: str, wishes: Wishes, *, timeout_s: float, say: Callable[[str], None]) -> UpReport:
    """Bring a lab up, or to what is wished now; what the machine lacks is told before."""
    engine = clients.engine.Engine()
    beginning = labs.up.Up(
        lab,
        wishes,
        engine=engine,
        say=say,
        look=lambda wanted: preflight.doctor.require(wanted, engine=engine, say=say),
    )
    return beginning.run(timeout_s=timeout_s)


def wishes(lab: str, words: Mapping[str, Any], *, build: bool) -> Wishes:
    """Return what is asked for in a lab file's words; folders begin at the current one."""
    file = library.making.checked(f"lab {lab!r}", {**words, "name": lab})
    return labfile.settings.wishes_of(file, Path.cwd(), Wishes(build=build), os.environ)
