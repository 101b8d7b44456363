"""What a lab would find on this machine and its engine. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from fakevm import lazy
from fakevm.clients.containers import About, Network
from fakevm.clients.engine import Engine
from fakevm.errors import ConflictError, FakevmError
from fakevm.names import check_lab
from fakevm.preflight import checks as preflight
from fakevm.preflight import machine
from fakevm.preflight.values import Check, Machine, Wanted
from fakevm.recipe import compose, decide, images, share
from fakevm.recipe.compose import Compose
from fakevm.recipe.images import Unfit
from fakevm.recipe.settings import Existing, Settings, Wishes

T = TypeVar("T")

ROOT = Path("/")


def examine(lab: str, wishes: Wishes, *, engine: Engine, root: Path = ROOT) -> list[Check]:
    """Return what a lab with these wishes needs of this machine, and whether that is there."""
    check_lab(lab)
    found = _machine(engine, root)
    existing, networks = Existing(), list[Network]()
    if isinstance(found.engine, About):
        networks = engine.networks()
        own = [c for c in found.containers if c.lab == lab]
        existing = decide.existing_of(lab, wishes, own, networks, engine=engine)
    # Without the networks, since what is wrong with the subnets is only one of the checks.
    wanted = decide.wanted_of(lab, wishes, existing, ())
    collision = None
    try:
        wanted = decide.wanted_of(lab, wishes, existing, networks)
    except ConflictError as error:
        collision = error
    unfit = _images(wanted, found, engine)
    return preflight.checks(found, _wanted(wanted, images=unfit, collision=collision))


def require(
    wanted: Settings, *, engine: Engine, say: Callable[[str], None], root: Path = ROOT
) -> None:
    """Tell what a lab may lack on this machine; ConflictError with all that it would not work for.

    Of what `up` looks at itself (Compose's version, the images, the subnets) nothing is told.
    """
    found = _machine(engine, root)
    # One for all: if it is missing, there is a build to come, which takes its room.
    name = f"fakevm/host:{wanted.neutron_version}"
    missing = isinstance(found.engine, About) and engine.source_of(name) is None
    unfit = Unfit(missing=(name,) if missing else ())
    checks = preflight.checks(found, _wanted(wanted, images=unfit))
    preflight.refuse(checks)
    for one in checks:
        # A lab works without the module as well, which `status` tells.
        if one.state == "warning" and one.check not in ("images", "openvswitch"):
            say(f"warning: {preflight.words(one)}: {one.mend}")


def _machine(engine: Engine, root: Path) -> Machine:
    """Look at this machine and its engine, side by side."""
    lazy.in_advance("fakevm.clients.docker_api")
    with ThreadPoolExecutor() as pool:
        version = pool.submit(_answer, compose.check_version)
        containers = _answer(engine.containers)
        # An engine that has not answered one question is asked no other.
        said = containers if isinstance(containers, FakevmError) else _answer(engine.about)
        kernel = machine.kernel(root)
    return Machine(
        engine=said,
        compose=version.result(),
        kernel=kernel,
        containers=() if isinstance(containers, FakevmError) else tuple(containers),
        disk_mb=machine.free_mb(Path(said.root)) if isinstance(said, About) else None,
    )


def _answer(question: Callable[[], T]) -> T | FakevmError:
    try:
        return question()
    except FakevmError as error:
        return error


def _images(wanted: Settings, found: Machine, engine: Engine) -> Unfit | None:
    if isinstance(found.engine, FakevmError) or isinstance(found.compose, FakevmError):
        return None
    names = Compose(wanted, share.files()).images()
    return images.unfit({name: engine.source_of(name) for name in names}, unlabelled=False)


def _wanted(
    settings: Settings, *, images: Unfit | None, collision: FakevmError | None = None
) -> Wanted:
    return Wanted(
        lab=settings.lab,
        backend=settings.backend,
        hosts=settings.hosts,
        datapath=settings.options["datapath"],
        subnets=settings.subnets,
        compose_version=compose.COMPOSE_VERSION,
        collision=collision,
        images=images,
    )
