"""Images say what they are made from, and those of other sources are built anew, or refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from fakevm.errors import ConflictError
from fakevm.labs import images, share
from fakevm.labs.compose import Compose
from fakevm.labs.images import Unfit, is_stale, source, unfit
from tests.fakes.engine import FakeEngine

RELEASE = "28.0.2"
HOST, MARIADB = f"fakevm/host:{RELEASE}", f"fakevm/mariadb:{RELEASE}"


class Builder(Compose):
    """Builds by labelling images on an engine."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine

    def images(self) -> list[str]:
        return [HOST, MARIADB]

    def build(
        self, services: Sequence[str], labels: Mapping[str, str], *, on_wait: Callable[[], None]
    ) -> None:
        for name in self.images():
            variable = f"FAKEVM_SOURCE_{images.target_of(name).upper()}"
            self.engine.images[name] = labels[variable]


def ensure(engine: FakeEngine, *, build: bool = True, unlabelled: bool = False) -> Unfit:
    return images.ensure(
        Builder(engine),
        engine=engine,
        release=RELEASE,
        build=build,
        unlabelled=unlabelled,
        say=lambda _text: None,
    )


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.images["debian:trixie-slim"] = ""
    return engine


def test_what_is_missing_is_built_once(engine: FakeEngine) -> None:
    assert ensure(engine) == Unfit(missing=(HOST, MARIADB))
    assert engine.images[HOST] == source("host", RELEASE)
    assert not ensure(engine)


def test_what_is_stale_is_built_anew_or_refused(engine: FakeEngine) -> None:
    ensure(engine)
    engine.images[HOST] = f"{RELEASE}-0123456789abcdef"
    with pytest.raises(ConflictError, match=f"{HOST} is not of this fakevm's sources") as caught:
        ensure(engine, build=False)
    assert "fakevm build" in caught.value.hint
    assert ensure(engine) == Unfit(stale=(HOST,))
    assert not ensure(engine)


def test_what_others_built_is_used_unless_it_is_asked_for(engine: FakeEngine) -> None:
    engine.images |= {HOST: "", MARIADB: ""}
    assert not ensure(engine, build=False)
    assert ensure(engine, unlabelled=True) == Unfit(stale=(HOST, MARIADB))


def test_an_image_is_of_its_own_sources_alone(tmp_path: Path) -> None:
    labels = {target: source(target, RELEASE) for target in ("host", "mariadb", "neutron")}
    assert len(set(labels.values())) == 3
    assert all(label.startswith(f"{RELEASE}-") for label in labels.values())
    assert source("host", "29.0.0") != labels["host"]
    assert not is_stale("host", labels["host"])
    assert is_stale("host", labels["mariadb"])
    # A release that has no sources here any more, and an image that nobody labelled.
    assert not is_stale("host", "1.0.0-0123456789abcdef")
    assert not is_stale("host", "")
    assert unfit({HOST: labels["host"]}, unlabelled=True) == Unfit()


def test_every_file_of_an_image_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = source("rabbitmq", RELEASE)
    copied: dict[str, Path] = {}

    def elsewhere(name: str) -> Path:
        copy = tmp_path / name
        if name not in copied:
            copied[name] = copy
            copy.parent.mkdir(parents=True, exist_ok=True)
            original = real(name)
            if original.is_dir():
                shutil.copytree(original, copy)
            elif original.is_file():
                copy.write_bytes(original.read_bytes())
                copy.chmod(original.stat().st_mode)
        return copy

    real = share.source
    monkeypatch.setattr(share, "source", elsewhere)
    assert source("rabbitmq", RELEASE) == before
    (file,) = (tmp_path / "images/rabbitmq/files").rglob("rabbitmq-start")
    mode = file.stat().st_mode
    file.chmod(mode & ~0o111)
    assert source("rabbitmq", RELEASE) != before
    file.chmod(mode)
    assert source("rabbitmq", RELEASE) == before
    file.write_text("another")
    assert source("rabbitmq", RELEASE) != before
