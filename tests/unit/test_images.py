"""Images say what they are made from, and those of other sources are built anew, or refused."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from fakevm.clients.engine import Engine
from fakevm.errors import ConflictError, NotFoundError, UnavailableError
from fakevm.recipe import images, published, share
from fakevm.recipe.compose import Compose
from fakevm.recipe.images import Unfit, is_stale, source, unfit
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


def ensure(
    engine: FakeEngine,
    *,
    build: bool = True,
    unlabelled: bool = False,
    publishes: bool = False,
    say: Callable[[str], None] = lambda _text: None,
) -> Unfit:
    return images.ensure(
        Builder(engine),
        engine=engine,
        release=RELEASE,
        build=build,
        unlabelled=unlabelled,
        publishes=publishes,
        say=say,
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


def registry(*targets: str) -> dict[str, str]:
    labels = {target: source(target, RELEASE) for target in targets}
    return {published.name(target, label): label for target, label in labels.items()}


def test_a_release_s_images_are_got_where_they_are_published(engine: FakeEngine) -> None:
    engine.registry = registry("host", "mariadb")
    found = ensure(engine, publishes=True)
    assert (found.missing, found.done) == ((HOST, MARIADB), f"got {HOST}, {MARIADB}")
    assert engine.images[HOST] == source("host", RELEASE)
    assert not ensure(engine, publishes=True)


def test_what_is_no_release_asks_no_registry(engine: FakeEngine) -> None:
    engine.registry = None
    said: list[str] = []
    assert ensure(engine, say=said.append).done == f"built {HOST}, {MARIADB}"
    assert not any(published.REGISTRY in text for text in said)


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (None, "ghcr.io has not answered within 10 s"),
        (registry("mariadb"), "manifest unknown"),
        (registry("mariadb") | dict.fromkeys(registry("host"), "28.0.2-0"), "made from 28.0.2-0"),
    ],
    ids=["no-answer", "one-alone", "of-others"],
)
def test_without_all_that_is_published_images_are_built(
    engine: FakeEngine, there: dict[str, str] | None, words: str
) -> None:
    engine.registry = there
    said: list[str] = []
    assert ensure(engine, publishes=True, say=said.append).done == f"built {HOST}, {MARIADB}"
    (why,) = [text for text in said if text.startswith("no published images")]
    assert words in why
    assert engine.images[HOST] == source("host", RELEASE)


def test_a_release_is_a_version_of_a_tag_alone() -> None:
    assert published.is_release("1.2.3")
    assert not any(map(published.is_release, ("1.2.4.dev3+g1a2b3c4", "0.0.0.dev0", "1.2+local")))


def docker(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


class PullingEngine(Engine):
    """Pulls with the docker program, and never has what was pulled."""

    def source_of(self, name: str) -> str | None:
        return None


def test_a_registry_that_does_not_answer_is_waited_for_no_longer_than_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    docker(monkeypatch, tmp_path, "exec sleep 60")
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=r"example\.org has not answered within 0\.2 s"):
        PullingEngine().pull("example.org/host:1", answer_s=0.2)
    assert time.monotonic() - start < 10


def test_what_a_registry_says_no_to_is_told_in_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A layer may take longer than the first answer.
    docker(monkeypatch, tmp_path, "echo 1: Pulling; sleep 0.6; echo 'manifest unknown' >&2; exit 1")
    with pytest.raises(NotFoundError, match=r"example\.org/host:1: manifest unknown"):
        PullingEngine().pull("example.org/host:1", answer_s=0.3)


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
