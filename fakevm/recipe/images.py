"""A lab's images: which there are, what they are made from, and whether those on the engine are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fakevm.clients.engine import Engine
from fakevm.errors import ConflictError
from fakevm.recipe import published, share
from fakevm.recipe.compose import BASE_IMAGE, Compose

# What every image is made from, below the build context's root; the release's constraints, too.
_ALL = ("images/Dockerfile", "images/common/files", "images/neutron/requirements.txt")

# What an image is made from beside it, by its target in images/Dockerfile.
_OWN = {
    "neutron": ("images/neutron/files", "images/neutron/overlay.pth"),
    "mariadb": ("images/mariadb/files",),
    "rabbitmq": ("images/rabbitmq/files",),
    "keystone": ("images/neutron/files", "images/neutron/overlay.pth", "images/keystone/files"),
    "host": (
        *("images/neutron/files", "images/neutron/overlay.pth", "images/host/files"),
        *("pyproject.toml", "agent/fakevm_agent"),
        *(f"fakevm/{name}.py" for name in ("__init__", "errors", "lazy", "model", "names")),
    ),
}

TARGETS = tuple(_OWN)


@dataclass(frozen=True, kw_only=True)
class Unfit:
    """Images that a lab can't use as they are."""

    missing: tuple[str, ...] = ()
    # Made from other sources than this fakevm's.
    stale: tuple[str, ...] = ()
    # Those that are published took their place.
    got: bool = False

    def __bool__(self) -> bool:
        return bool(self.missing or self.stale)

    @property
    def done(self) -> str:
        """What was done about it."""
        words = ", ".join((*self.missing, *self.stale))
        return words and f"{'got' if self.got else 'built'} {words}"


def target_of(image: str) -> str:
    """Return what images/Dockerfile calls an image: "host" of "fakevm/host:28.0.2"."""
    return image.rpartition("/")[2].partition(":")[0]


def source(target: str, release: str) -> str:
    """Return what an image's label `fakevm.source` says: the release, and a hash of the sources.

    "" of a release that has none here.
    """
    constraints = f"images/neutron/constraints/{release}.txt"
    if not share.source(constraints).is_file():
        return ""
    found = hashlib.sha256()
    for name in (*_ALL, constraints, *_OWN[target]):
        for path, relative in _files(share.source(name), name):
            found.update(f"{relative}\0{path.stat().st_mode & 0o100:o}\0".encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{release}-{found.hexdigest()[:16]}"


def is_stale(target: str, label: str) -> bool:
    """Tell whether what has this label is made from other sources than this fakevm's.

    Without a label nobody can tell: fakevm did not build it.
    """
    here = source(target, label.rpartition("-")[0])
    return bool(label and here) and label != here


def sources(release: str) -> dict[str, str]:
    """Return the sources of every image, by the Compose variable that labels it."""
    return {f"FAKEVM_SOURCE_{target.upper()}": source(target, release) for target in _OWN}


def _files(path: Path, name: str) -> Iterator[tuple[Path, str]]:
    if path.is_file():
        yield path, name
        return
    for one in sorted(path.rglob("*")):
        if one.is_file() and "__pycache__" not in one.parts:
            yield one, f"{name}/{one.relative_to(path)}"


def unfit(images: Mapping[str, str | None], *, unlabelled: bool) -> Unfit:
    """Return which images are missing, or stale: each is given with its label, None: missing.

    unlabelled: one without a label counts as stale.
    """
    return Unfit(
        missing=tuple(name for name, label in images.items() if label is None),
        stale=tuple(
            name
            for name, label in images.items()
            if (unlabelled and label == "") or (label and is_stale(target_of(name), label))
        ),
    )


def ensure(
    docker_compose: Compose,
    *,
    engine: Engine,
    release: str,
    build: bool,
    unlabelled: bool = False,
    hosts_alone: bool = False,
    publishes: bool | None = None,
    say: Callable[[str], None],
) -> Unfit:
    """Get or build what is missing or stale; return what that was. ConflictError, if it may not be.

    Of this release; hosts_alone: their image, which is all that a lab of another one needs.
    publishes: whether there may be published ones, as there are of a fakevm that is a release.
    """
    labels = {
        name: engine.source_of(name)
        for name in docker_compose.images()
        if name.endswith(f":{release}") and (not hosts_alone or target_of(name) == "host")
    }
    found = unfit(labels, unlabelled=unlabelled)
    if not found:
        return found
    words = [
        *(f"{name} is missing" for name in found.missing),
        *(f"{name} is not of this fakevm's sources" for name in found.stale),
    ]
    if not build:
        raise ConflictError("; ".join(words), hint="fakevm up without --no-build, or fakevm build")
    if published.is_release() if publishes is None else publishes:
        targets = {name: target_of(name) for name in (*found.missing, *found.stale)}
        wanted = {name: (target, source(target, release)) for name, target in targets.items()}
        if published.get(wanted, engine=engine, say=say):
            return replace(found, got=True)
    if engine.source_of(BASE_IMAGE) is None:
        say(f"getting {BASE_IMAGE}")
        docker_compose.make_base_image(on_wait=lambda: None)
    say(f"{'; '.join(words)}: building (some minutes, the first time)")
    services = ("network-1",) if hosts_alone else ()
    docker_compose.build(services, sources(release), on_wait=lambda: None)
    return found
