"""The Docker engine without Docker: a lab's containers in a list."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

from fakevm.clients.containers import Container, Recipe
from fakevm.clients.engine import Engine
from fakevm.clients.log_stream import LogStream
from fakevm.errors import NotFoundError, UnavailableError
from fakevm.logs.lines import parse, seconds
from fakevm.names import NEUTRON_PORT


def make_container(service: str, **attributes: object) -> Container:
    made = Container(
        id=f"{abs(hash(service)):064x}"[:64],
        name=f"fakevm-{service}-1",
        lab="fakevm",
        role=service.rstrip("-0123456789"),
        service=service,
        state="running",
        health="healthy",
        ports={NEUTRON_PORT: 9696} if service == "neutron-api" else {},
        backend="ovs" if service == "neutron-api" else "",
    )
    return replace(made, **attributes)  # type: ignore[arg-type]


class FakeEngine(Engine):
    """Has these containers."""

    def __init__(self, *containers: Container) -> None:
        self.all_containers = list(containers)
        # By name, what each is labelled to be made from.
        self.images: dict[str, str] = {}
        # The same of a registry's; None: it does not answer.
        self.registry: dict[str, str] | None = {}
        # By service and path.
        self.files: dict[tuple[str, str], str] = {}
        # Every container's.
        self.last_words = ""
        # By service, what it has said: the engine's messages.
        self.said: dict[str, list[bytes]] = {}
        # By service, what it was given.
        self.environments: dict[str, dict[str, str]] = {}
        # Nobody can ask it.
        self.away = False
        # How often it was asked for containers, and for what they were made from.
        self.looks = 0
        self.recipes = 0

    def source_of(self, name: str) -> str | None:
        return self.images.get(name)

    def pull(self, name: str, *, answer_s: float = 10) -> None:
        if self.registry is None:
            raise UnavailableError(f"{name.partition('/')[0]} has not answered within {answer_s} s")
        if name not in self.registry:
            raise NotFoundError(f"{name}: manifest unknown")
        self.images[name] = self.registry[name]

    def tag(self, name: str, as_: str) -> None:
        self.images[as_] = self.images[name]

    def containers(self, *, lab: str | None = None, project: str | None = None) -> list[Container]:
        self.looks += 1
        if self.away:
            raise UnavailableError("the Docker engine does not answer")
        return [one for one in self.all_containers if lab in (None, one.lab)]

    def recipe(self, container: Container) -> Recipe:
        self.recipes += 1
        return Recipe(
            image="fakevm/neutron:28.0.2",
            environment=self.environments.get(container.service, {}),
            ports=container.ports,
        )

    def logs(self, container: Container, *, lines: int) -> str:
        return self.last_words

    def log(
        self,
        container: Container,
        *,
        since: float | None = None,
        tail: int | None = None,
        follow: bool = False,
    ) -> LogStream:
        closed = threading.Event()
        said = self.said.setdefault(container.service, [])

        def messages() -> Iterator[bytes]:
            number = 0 if tail is None else max(0, len(said) - tail)
            while True:
                for message in said[number:]:
                    number += 1
                    if since is None or _moment(message) >= since:
                        yield message
                if not follow or not self._runs(container) or closed.wait(0.005):
                    return

        return LogStream(messages(), close=closed.set)

    def _runs(self, container: Container) -> bool:
        return any(one.id == container.id and one.running for one in self.all_containers)

    def file(self, container: Container, path: str) -> str:
        if (container.service, path) not in self.files:
            raise NotFoundError(f"Docker: no such file: {path}")
        return self.files[container.service, path]

    def end(self, service: str, *, state: str = "exited") -> None:
        self.all_containers = [
            replace(one, state=state, health="") if one.service == service else one
            for one in self.all_containers
        ]

    def begin(self, service: str) -> None:
        self.all_containers = [
            replace(one, state="running", health="healthy") if one.service == service else one
            for one in self.all_containers
        ]


def _moment(message: bytes) -> float:
    return seconds(parse(message, "", supervised=False).time)
