"""The Docker engine without Docker: a lab's containers in a list."""

from __future__ import annotations

from dataclasses import replace

from fakevm.clients.engine import Container, Engine, Recipe
from fakevm.errors import NotFoundError
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
        # By service and path.
        self.files: dict[tuple[str, str], str] = {}
        # Every container's.
        self.log = ""

    def source_of(self, name: str) -> str | None:
        return self.images.get(name)

    def containers(self, *, lab: str | None = None, project: str | None = None) -> list[Container]:
        return [one for one in self.all_containers if lab in (None, one.lab)]

    def recipe(self, container: Container) -> Recipe:
        return Recipe(image="fakevm/neutron:28.0.2", environment={}, ports=container.ports)

    def logs(self, container: Container, *, lines: int) -> str:
        return self.log

    def file(self, container: Container, path: str) -> str:
        if (container.service, path) not in self.files:
            raise NotFoundError(f"Docker: no such file: {path}")
        return self.files[container.service, path]

    def end(self, service: str, *, state: str = "exited") -> None:
        self.all_containers = [
            replace(one, state=state, health="") if one.service == service else one
            for one in self.all_containers
        ]
