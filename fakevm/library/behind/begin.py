"""What is done by who has no lab yet: the command line, and `Lab.up` and its like."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fakevm import clients, labfile, labs, preflight
from fakevm.errors import NotFoundError
from fakevm.labs.join import JoinReport
from fakevm.labs.up import UpReport
from fakevm.library import behind
from fakevm.preflight.values import Check
from fakevm.recipe.settings import Wishes
from fakevm.stock.things import Thing


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
    file = behind.making.checked(f"lab {lab!r}", {**words, "name": lab})
    return labfile.settings.wishes_of(file, Path.cwd(), Wishes(build=build), os.environ)


def examine(lab: str, wishes: Wishes) -> list[Check]:
    """Look whether a lab would work on this machine."""
    return preflight.doctor.examine(lab, wishes, engine=clients.engine.Engine())


def join(
    lab: str, api: str, hosts: Sequence[str], *, timeout_s: float, say: Callable[[str], None]
) -> JoinReport:
    """Join compute hosts to another lab's Neutron; one of the lab's name, if none is named."""
    names = hosts or (f"{lab}-1",)
    engine = clients.engine.Engine()
    return labs.join.join(lab, api=api, hosts=names, engine=engine, say=say, timeout_s=timeout_s)


def things(file: Path | str) -> list[Thing]:
    """Return what a lab file, or the one of a folder, wants in its lab."""
    text = labfile.find.text(str(file))
    if text is None:
        raise NotFoundError(f"there is no lab file {file}")
    return labfile.wanted.of(labfile.document.read(text.data, text.name))
