"""The Docker engine: its containers, networks, volumes and images, as far as a lab has them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from functools import cached_property
from typing import TYPE_CHECKING

from fakevm import clients
from fakevm.clients.containers import (
    PROJECT_LABEL,
    SOURCE_LABEL,
    About,
    Container,
    Network,
    Recipe,
    container_of,
    network_of,
)
from fakevm.clients.process import ProcessStream, containers
from fakevm.errors import (
    ConflictError,
    FakevmError,
    NotFoundError,
    UnavailableError,
    WaitTimeoutError,
)
from fakevm.names import LAB_LABEL

if TYPE_CHECKING:
    import docker

    from fakevm.clients.log_stream import LogStream

# How long the first answer may take, and what changes something: the engine removes fifty
# containers one after another, whoever asks for them at once.
ANSWER_S = 60
WORK_S = 600

# How long a registry may take to answer: whoever has none waits so long.
PULL_ANSWER_S = 10


class Engine:
    """The engine that the docker program would use: by DOCKER_HOST, or of the current context."""

    def __init__(self, client: docker.APIClient | None = None) -> None:
        """Use a client of the docker package; without one, the one that is found at first use."""
        if client is not None:
            self._client = client

    def containers(self, *, lab: str | None = None, project: str | None = None) -> list[Container]:
        """Return the containers of a lab, a project or all labs, stopped ones too, by service."""
        label = f"{LAB_LABEL}={lab}" if lab is not None else LAB_LABEL
        if project:
            label = f"{PROJECT_LABEL}={project}"
        # Of every command the first question: the package's import takes longer than the answer,
        # and what else is to be imported is so meanwhile.
        try:
            found = containers(label, timeout_s=ANSWER_S)
        except WaitTimeoutError as error:
            raise silent(ANSWER_S) from error
        except UnavailableError as error:
            raise unreachable(str(error)) from error
        return sorted(map(container_of, found), key=lambda c: (c.service, c.name))

    def about(self) -> About:
        """Return what the engine says of itself."""
        with clients.docker_api.translated():
            found, version = self._client.info(), self._client.version()
        options = " ".join(found.get("SecurityOptions") or ())
        return About(
            endpoint=clients.docker_api.endpoint(),
            version=found["ServerVersion"],
            api=version["ApiVersion"],
            root=found["DockerRootDir"],
            kernel=found["KernelVersion"],
            # Before 20.10 there was one version of them.
            cgroups=found.get("CgroupVersion") or "1",
            has_memory=bool(found.get("MemoryLimit")),
            has_pids=bool(found.get("PidsLimit")),
            has_other_root="name=rootless" in options or "name=userns" in options,
        )

    def networks(self) -> list[Network]:
        """Return every network of the engine."""
        with clients.docker_api.translated():
            return [network_of(found) for found in self._client.networks()]

    def volumes(self, lab: str) -> list[str]:
        """Return the names of a lab's volumes."""
        with clients.docker_api.translated():
            found = self._client.volumes(filters={"label": f"{LAB_LABEL}={lab}"})["Volumes"]
        return sorted(volume["Name"] for volume in found or ())

    def recipe(self, container: Container) -> Recipe:
        """Return what a container was made from."""
        with clients.docker_api.translated():
            found = self._client.inspect_container(container.id)
        published = (found["HostConfig"]["PortBindings"] or {}).items()
        return Recipe(
            image=found["Config"]["Image"],
            environment=dict(pair.partition("=")[::2] for pair in found["Config"]["Env"] or ()),
            ports={
                int(port.partition("/")[0]): int(places[0]["HostPort"])
                for port, places in published
                if places and places[0]["HostPort"].isdigit()
            },
        )

    def logs(self, container: Container, *, lines: int) -> str:
        """Return a container's last lines."""
        with clients.docker_api.translated():
            found = self._client.logs(container.id, tail=lines)
        return bytes(found).decode(errors="replace")

    def log(
        self,
        container: Container,
        *,
        since: float | None = None,
        tail: int | None = None,
        follow: bool = False,
    ) -> LogStream:
        """Return a container's log, of the moment `since` and later; `tail`: so many last lines.

        With `follow` it goes on with what comes, until the container ends.
        """
        # By the package: fifty hosts are fifty connections of one process, and whatever becomes of
        # this one, none of fifty `docker logs` outlives it.
        with clients.docker_api.translated():
            found = self._client.logs(
                container.id,
                stream=True,
                follow=follow,
                timestamps=True,
                since=since,
                tail="all" if tail is None else tail,
            )
        messages = clients.docker_api.messages(found)
        return clients.log_stream.LogStream(
            messages, close=lambda: clients.docker_api.hang_up(found)
        )

    def file(self, container: Container, path: str) -> str:
        """Return a file of a container; NotFoundError if there is none."""
        with clients.docker_api.translated():
            chunks, _ = self._client.get_archive(container.id, path)
            found = clients.docker_api.unpacked(chunks)
        if found is None:
            raise FakevmError(f"{path} of {container.name} is no file")
        return found.decode(errors="replace")

    def source_of(self, name: str) -> str | None:
        """Return what an image is labelled to be made from; None: it is not on the engine."""
        try:
            with clients.docker_api.translated():
                found = self._client.inspect_image(name)  # type: ignore[no-untyped-call]
        except NotFoundError:
            return None
        return str((found["Config"].get("Labels") or {}).get(SOURCE_LABEL) or "")

    def pull(self, name: str, *, answer_s: float = PULL_ANSWER_S) -> None:
        """Get an image of a registry, as the docker program would.

        UnavailableError: the registry does not answer in time; NotFoundError: it has no such image,
        or none for us.
        """
        stream = ProcessStream(("docker", "pull", name))
        with closing(stream):
            # The first line is there when the registry has answered; then whole layers come.
            wait_s = answer_s
            while stream.readable(wait_s):
                if not stream.read():
                    break
                wait_s = WORK_S
            else:
                registry = name.partition("/")[0]
                raise UnavailableError(f"{registry} has not answered within {wait_s:g} s")
            complaint = stream.complaint
        if self.source_of(name) is None:
            words = complaint.splitlines()[-1] if complaint else "docker pull has brought nothing"
            raise NotFoundError(f"{name}: {words}")

    def tag(self, name: str, as_: str) -> None:
        """Give an image another name, which no other has then."""
        repository, _, tag = as_.rpartition(":")
        with clients.docker_api.translated():
            self._client.tag(name, repository, tag)

    def delete_container(self, container: Container) -> None:
        """Kill and remove a container with its anonymous volumes; content if it is gone."""
        with suppress(NotFoundError):
            try:
                with clients.docker_api.translated():
                    self._client.remove_container(container.id, v=True, force=True)
            except ConflictError as error:
                if "already in progress" not in str(error):
                    raise
                # Another one removes it; before its end its networks can't be removed.
                with clients.docker_api.translated():
                    self._client.wait(container.id, timeout=WORK_S, condition="removed")

    def restart(self, container: Container) -> None:
        """End what runs in a container and start it again."""
        with clients.docker_api.translated():
            self._client.restart(container.id)

    def start(self, container: Container) -> None:
        """Start a container; content if it runs."""
        with clients.docker_api.translated():
            self._client.start(container.id)

    def stop(self, container: Container) -> None:
        """End what runs in a container, which stays so; content if nothing does."""
        with clients.docker_api.translated():
            self._client.stop(container.id)

    def kill(self, container: Container) -> None:
        """Kill what runs in a container, which stays so; ConflictError if nothing does."""
        with clients.docker_api.translated():
            self._client.kill(container.id)

    def address(self, container: Container, role: str) -> str:
        """Return a container's address on a network of a lab's, by the network's role.

        NotFoundError, where it is not on one, or does not run.
        """
        with clients.docker_api.translated():
            found = self._client.inspect_container(container.id)["NetworkSettings"]["Networks"]
        for name, network in found.items():
            if name.endswith(f"_{role}") and network["IPAddress"]:
                return str(network["IPAddress"])
        raise NotFoundError(f"{container.service} has no address on the {role} network")

    def pause(self, container: Container) -> None:
        """Freeze what runs in a container; content where nothing does, or will not be frozen."""
        with suppress(FakevmError), clients.docker_api.translated():
            self._client.pause(container.id)

    def disconnect(self, network: Network, containers: Collection[Container]) -> None:
        """Take these containers off a network, one after another; content with what is not on it.

        Up to Docker 28.0 a network's endpoints are counted apart from them, and when several are
        deleted at once the count may stay too high: making one takes the network's lock, deleting
        one does not. The engine then holds on to the network until its own restart counts anew.
        """
        ours = {container.id for container in containers}
        for number in self._on(network) & ours:
            # What can't be taken off now goes with its container.
            with suppress(FakevmError), clients.docker_api.translated():
                self._client.disconnect_container_from_network(number, network.id, force=True)

    def delete_network(self, network: Network) -> bool:
        """Remove a network, content if it is gone; tell whether it is.

        The engine holds on to one whose endpoints it has miscounted, although none is left.
        """
        try:
            with suppress(NotFoundError), clients.docker_api.translated():
                self._client.remove_network(network.id)
        except FakevmError as error:
            if "active endpoints" not in str(error) or self._on(network):
                raise
            return False
        return True

    def _on(self, network: Network) -> set[str]:
        """Return the ids of the containers that have an endpoint on a network."""
        try:
            with clients.docker_api.translated():
                return set(self._client.inspect_network(network.id)["Containers"])
        except NotFoundError:
            return set()

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Make a volume; content if there is one of this name."""
        with clients.docker_api.translated():
            self._client.create_volume(name, labels=dict(labels))

    def delete_volume(self, name: str) -> None:
        """Remove a volume; content if it is gone."""
        with suppress(NotFoundError), clients.docker_api.translated():
            self._client.remove_volume(name, force=True)

    @cached_property
    def _client(self) -> docker.APIClient:
        return clients.docker_api.connect()


def _place() -> str:
    host = os.environ.get("DOCKER_HOST")
    return f" at {host}" if host else ""


def silent(after_s: float) -> UnavailableError:
    """Return the error that the engine takes too long."""
    return UnavailableError(
        f"the Docker engine{_place()} has not answered within {after_s:g} s", hint="docker info"
    )


def unreachable(words: str) -> UnavailableError:
    """Return the error that the engine can't be asked, by what was said of it."""
    if "permission denied" in words.lower():
        return UnavailableError(
            f"you may not use the Docker engine{_place()}",
            hint="sudo usermod -aG docker $USER, then log in again",
        )
    return UnavailableError(
        f"the Docker engine{_place()} does not answer: {words}",
        hint="sudo systemctl start docker; where it is missing, a checkout's `make docker` installs"
        " it",
    )
