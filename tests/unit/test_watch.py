"""A lab that is watched: what a look costs, and what becomes of one that is away."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from fakevm.clients.process import ProcessStream
from fakevm.display import output
from fakevm.errors import UnavailableError
from fakevm.labs.questions import Questions
from tests.fakes.engine import make_container
from tests.unit.conftest import World
from tests.unit.test_cli import FakeSession, run

HOST = make_container("network-1")


@pytest.fixture
def started() -> list[str]:
    return []


@pytest.fixture
def questions(started: list[str]) -> Iterator[Questions]:
    """Questions to this machine instead of a container."""

    def start(container: str, argv: Sequence[str]) -> ProcessStream:
        started.append(container)
        return ProcessStream(argv)

    with Questions(timeout_s=1, start=start) as questions:
        yield questions


def test_questions_to_a_container_have_one_shell(questions: Questions, started: list[str]) -> None:
    assert questions.ask(HOST, ("printf", "%s", "$HOME; `id`'")) == "$HOME; `id`'"
    assert questions.ask(HOST, ("true",)) == ""
    with pytest.raises(UnavailableError, match=r"network-1: ls: .*No such file"):
        questions.ask(HOST, ("ls", "/no such"))
    assert questions.ask(HOST, ("cat",)) == "", "it has no stdin of ours"
    assert started == [HOST.name]


def test_a_question_that_is_not_answered_is_given_up(
    questions: Questions, started: list[str]
) -> None:
    for argv in (("sleep", "60"), ("sh", "-c", "kill $PPID")):
        with pytest.raises(UnavailableError, match=f"{argv[0]} does not answer"):
            questions.ask(HOST, argv)
    assert questions.ask(HOST, ("echo", "again")) == "again\n"
    assert len(started) == 3


def test_a_look_asks_each_host_once_over_the_connection_that_is_there(world: World) -> None:
    opened: list[str] = []
    stream = world.stream

    def counting(container: str) -> object:
        opened.append(container)
        return stream(container)

    world.stream = counting  # type: ignore[method-assign,assignment]
    with world.lab() as lab:
        watched = lab.watch()
        next(watched)
        recipes = world.engine.recipes
        for _ in range(2):
            found = next(watched)
            assert [host.vms for host in found.hosts if host.role == "compute"] == [0, 0, 0]
    assert sorted(opened) == [f"fakevm-compute-{number}-1" for number in (1, 2, 3)]
    assert (world.engine.looks, world.engine.recipes) == (3, recipes)


def test_a_lab_that_is_away_is_seen_to_be_so_and_to_come_back(world: World) -> None:
    with world.lab() as lab:
        watched = lab.watch()
        assert next(watched).endpoint == "http://127.0.0.1:9696"
        world.engine.away = True
        found = next(watched)
        assert (found.lab, found.neutron) == ("fakevm", "the Docker engine does not answer")
        assert (found.services, found.hosts, found.endpoint) == ((), (), "")
        world.engine.away = False
        assert next(watched).neutron == "answers"
        world.engine.end("neutron-api")
        assert "neutron-api is exited" in next(watched).neutron
        there, world.engine.all_containers = world.engine.all_containers, []
        assert next(watched).neutron == "there is no lab 'fakevm'"
        world.engine.all_containers = there
        world.engine.begin("neutron-api")
        assert next(watched).neutron == "answers"


def test_a_host_that_ends_is_seen_and_its_successor_is_asked(world: World) -> None:
    with world.lab() as lab:
        watched = lab.watch()
        next(watched)
        world.agents["compute-2"].die()
        world.engine.end("compute-2")
        states = {host.host: host for host in next(watched).hosts}
        assert (states["compute-2"].state, states["compute-2"].vms) == ("exited", None)
        world.engine.begin("compute-2")
        states = {host.host: host for host in next(watched).hosts}
        assert (states["compute-2"].state, states["compute-2"].vms) == ("healthy", 0)


@pytest.mark.parametrize("form", ["table", "json"])
def test_who_reads_a_pipe_has_a_document_a_line(
    world: World, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    left = iter([True, True, False])
    monkeypatch.setattr(output, "is_read", lambda **_: next(left))
    result = run(FakeSession(world), "status", "--watch", "-f", form)
    assert (result.exit_code, result.stderr) == (0, "")
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [document["lab"] for document in documents] == ["fakevm"] * 3


def test_a_host_that_says_nothing_stands_beside_one_that_is_broken_on_purpose(
    world: World,
) -> None:
    world.agents["compute-1"].host.outages = ("stop l2-agent",)
    world.engine.end("compute-2")
    result = run(FakeSession(world), "status")
    assert result.exit_code == 0
    assert "stop l2-agent" in result.stdout
