"""Published images: what a release's are called, and how they are got of the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version

from fakevm.clients.engine import Engine
from fakevm.errors import ConflictError, NotFoundError, UnavailableError

# Where the release workflow publishes; nothing else names it.
REGISTRY = "ghcr.io/fakevm"


def name(target: str, label: str) -> str:
    """Return what an image is published as, by its label `fakevm.source`: of the same, the same."""
    return f"{REGISTRY}/{target}:{label}"


def is_release(told: str = "") -> bool:
    """Tell whether a version, this fakevm's by default, is a release's."""
    told = told or version("fakevm")
    return "dev" not in told and "+" not in told


def get(
    wanted: Mapping[str, tuple[str, str]], *, engine: Engine, say: Callable[[str], None]
) -> bool:
    """Get images, by the name that each is to have: of this target, with this label.

    All of them or none; why none is told.
    """
    found = {name(target, label): as_ for as_, (target, label) in wanted.items()}
    say(f"getting {', '.join(wanted)} from {REGISTRY}")
    try:
        for one, (_, label) in zip(found, wanted.values(), strict=True):
            engine.pull(one)
            if (told := engine.source_of(one)) != label:
                raise ConflictError(f"{one} says that it was made from {told or 'nothing'}")
    except (ConflictError, NotFoundError, UnavailableError) as error:
        say(f"no published images: {error}")
        return False
    for one, as_ in found.items():
        engine.tag(one, as_)
    return True
