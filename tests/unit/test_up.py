from __future__ import annotations

import json
import os
import shlex
import socket
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import cast

import docker
import pytest
import requests

from fakevm.clients.containers import Container, Network, Recipe
from fakevm.clients.engine import Engine
from fakevm.clients.parts import Parts
from fakevm.errors import (
    ConflictError,
    FakevmError,
    NotFoundError,
    UnavailableError,
    WaitTimeoutError,
)
from fakevm.labs.down import down
from fakevm.labs.restart import restart
from fakevm.labs.start import Start
from fakevm.labs.up import Up, _check_port
from fakevm.protocol.lock import exclusive
from fakevm.recipe.decide import existing_of
from fakevm.recipe.settings import Existing, Wishes, settings
from tests.fakes.engine import FakeEngine, make_container


class RemovingEngine(FakeEngine):
    """Can remove what it has."""

    def __init__(self, *containers: Container) -> None:
        super().__init__(*containers)
        self.all_networks = [
            Network(
                id="1", name="fakevm_management", lab="fakevm", project="", role="", subnets=()
            ),
            Network(id="2", name="bridge", lab="", project="", role="", subnets=()),
        ]
        self.paused: list[str] = []
        self.disconnected: list[tuple[str, str]] = []

    def networks(self) -> list[Network]:
        return list(self.all_networks)

    def volumes(self, lab: str) -> list[str]:
        return []

    def pause(self, container: Container) -> None:
        self.paused.append(container.service)

    def disconnect(self, network: Network, containers: Collection[Container]) -> None:
        assert all(container in self.all_containers for container in containers)
        self.disconnected += [(network.name, container.service) for container in containers]

    def delete_container(self, container: Container) -> None:
        self.all_containers.remove(container)

    def delete_network(self, network: Network) -> bool:
        self.all_networks.remove(network)
        return True


def make_response(status_code: int) -> requests.Response:
    response = requests.Response()
    response.status_code = status_code
    return response


def make_up(engine: FakeEngine) -> Up:
    return Up("fakevm", Wishes(), engine=engine, say=print)


def make_start(engine: FakeEngine, said: list[str]) -> Start:
    return Start("fakevm", engine=engine, say=said.append, start_order=(), mend="fakevm down")


def test_what_is_not_well_for_a_moment_is_waited_for() -> None:
    ill = make_container("neutron-api", health="unhealthy")
    gone = make_container("compute-1", state="exited", health="")

    class Recovering(FakeEngine):
        looks = 0

        def containers(
            self, *, lab: str | None = None, project: str | None = None
        ) -> list[Container]:
            self.looks += 1
            return [replace(ill, health="healthy"), gone] if self.looks > 2 else [ill, gone]

    engine, said = Recovering(), list[str]()
    start = make_start(engine, said)
    start.let_recover((ill, gone))
    assert engine.looks > 2
    assert any("neutron-api: unhealthy" in text for text in said)
    assert start.last_healthy == ""
    # Nothing that runs is ill: nothing is looked at.
    engine.looks = 0
    start.let_recover((replace(ill, health="healthy"), gone))
    assert engine.looks == 0


def test_a_lab_that_others_have_joined_stays() -> None:
    joined = make_container("edge-1", lab="edge", id="edge", home="fakevm")
    engine = RemovingEngine(make_container("mariadb"), joined)
    with pytest.raises(ConflictError, match="hosts of edge have joined the lab 'fakevm'") as caught:
        down("fakevm", engine=engine)
    assert "fakevm leave --name edge" in caught.value.hint
    assert down("edge", engine=engine).containers == ("fakevm-edge-1-1",)


def test_down_removes_what_is_labelled_and_nothing_else() -> None:
    other = make_container("compute-1", lab="other", id="other")
    engine = RemovingEngine(make_container("mariadb"), make_container("compute-1"), other)
    report = down("fakevm", engine=engine)
    assert len(report.containers) == 2
    assert sorted(engine.paused) == ["compute-1", "mariadb"]
    assert engine.disconnected == [
        ("fakevm_management", "mariadb"),
        ("fakevm_management", "compute-1"),
    ]
    assert report.networks == ("fakevm_management",)
    assert engine.all_containers == [other]
    assert [network.name for network in engine.all_networks] == ["bridge"]
    assert down("fakevm", engine=engine).empty


def test_what_an_interrupted_down_has_begun_to_take_apart_is_removed() -> None:
    class Interrupted(RemovingEngine):
        def disconnect(self, network: Network, containers: Collection[Container]) -> None:
            raise KeyboardInterrupt

    engine = Interrupted(make_container("mariadb"), make_container("compute-1"))
    with pytest.raises(KeyboardInterrupt):
        down("fakevm", engine=engine)
    assert engine.all_containers == []


@pytest.mark.parametrize("lab", ["fakevm", "other"])
def test_down_does_not_come_in_between_an_up(lab: str) -> None:
    engine = RemovingEngine(make_container("mariadb"))
    with (
        exclusive(f"{lab}/up", busy="we are up"),
        pytest.raises(ConflictError, match="`fakevm up` or `fakevm down`") as caught,
    ):
        down(lab, engine=engine)
    assert "wait" in caught.value.hint
    assert len(engine.all_containers) == 1


@pytest.mark.parametrize("words", ["removal of container x is already in progress", "it is busy"])
def test_a_container_that_another_removes_is_waited_for(words: str) -> None:
    waited: list[str] = []

    class Client:
        def remove_container(self, _id: str, **_: object) -> None:
            raise docker.errors.APIError(words, response=make_response(409), explanation=words)

        def wait(self, container_id: str, **_: object) -> None:
            waited.append(container_id)
            raise docker.errors.NotFound("gone", response=make_response(404))

    engine = Engine(cast("docker.APIClient", Client()))
    container = make_container("mariadb")
    if words == "it is busy":
        with pytest.raises(ConflictError, match="busy"):
            engine.delete_container(container)
    else:
        engine.delete_container(container)
        assert waited == [container.id]


def test_a_port_that_is_taken_is_told_before_anything_is_made() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError, match=f"port {port} on 127.0.0.1") as caught:
            _check_port(port, "Keystone", "keystone-port")
    assert "--keystone-port" in caught.value.hint
    _check_port(port, "Keystone", "keystone-port")


def test_a_service_that_ends_again_and_again_is_given_up() -> None:
    said: list[str] = []
    well, broken = make_container("mariadb"), make_container("keystone", health="")
    engine = FakeEngine(well, broken)
    engine.last_words = "no such option\n"
    start = make_start(engine, said)
    start._changes()
    for _ in range(4):
        for state in ("restarting", "running"):
            engine.all_containers = [well, replace(broken, state=state)]
            start._look()
    engine.all_containers = [well, replace(broken, state="restarting")]
    with pytest.raises(UnavailableError, match="keystone is restarting") as caught:
        start._look()
    assert "no such option" in str(caught.value)
    assert "docker logs fakevm-keystone-1" in caught.value.hint


def test_changes_are_told_once() -> None:
    said: list[str] = []
    engine = FakeEngine(make_container("mariadb"), make_container("neutron-api", health="starting"))
    start = make_start(engine, said)
    start._changes()
    start._tell_changes()
    assert said == []
    engine.all_containers[1] = replace(engine.all_containers[1], health="healthy")
    start._tell_changes()
    start._tell_changes()
    assert [text.partition(" (")[0] for text in said] == ["neutron-api: healthy"]


def docker_says(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, out: str = "", err: str = ""
) -> None:
    """Have a docker program that says this."""
    program = folder / "docker"
    program.write_text(
        f"#!/bin/sh\nprintf '%s' {shlex.quote(out)}\nprintf '%s' {shlex.quote(err)} >&2\n"
        f"exit {1 if err else 0}\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_containers_are_those_that_the_engine_lists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lab = {"fakevm.lab": "fakevm"}
    compute_s = {
        "fakevm.role": "compute",
        "com.docker.compose.service": "compute-1",
        "fakevm.l2-agent": "/opt/bin/lane-agent --fast",
        "fakevm.home": "home",
        "fakevm.neutron": "http://192.0.2.1:9696",
    }
    api_s = {
        "fakevm.role": "neutron-api",
        "com.docker.compose.service": "neutron-api",
        "fakevm.backend": "ovs",
        "fakevm.source": "28.0.2-1a2b",
        "fakevm.auth": "keystone",
    }
    listed = [
        {
            "Id": "i2",
            "Names": ["/other/api", "/fakevm-neutron-api-1"],
            "State": "running",
            "Status": "Up 3 minutes (health: starting)",
            "Labels": lab | api_s,
            "Ports": [
                {"IP": "127.0.0.1", "PrivatePort": 9696, "PublicPort": 9705, "Type": "tcp"},
                {"PrivatePort": 80, "Type": "tcp"},
            ],
        },
        {
            "Id": "i1",
            "Names": ["/fakevm-compute-1-1"],
            "State": "exited",
            "Ports": [],
            "Status": "Exited (137) 2 hours ago",
            "Labels": lab | compute_s,
        },
    ]
    docker_says(monkeypatch, tmp_path, out=f"HTTP/1.0 200 OK\r\n\r\n{json.dumps(listed)}")
    compute, api = Engine().containers(lab="fakevm")
    assert (compute.id, compute.service, compute.state, compute.health) == (
        *("i1", "compute-1", "exited", ""),
    )
    assert not compute.ports
    assert (compute.l2_agent, api.l2_agent) == ("lane-agent", "")
    assert (compute.auth, api.auth) == ("", "keystone")
    assert (compute.home, compute.neutron) == ("home", "http://192.0.2.1:9696")
    assert (compute.home, api.home) == ("home", "")
    assert (api.name, api.role, api.lab, api.health, api.backend, api.source, api.ports) == (
        *("fakevm-neutron-api-1", "neutron-api", "fakevm", "starting", "ovs", "28.0.2-1a2b"),
        {9696: 9705},
    )


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("Cannot connect to the Docker daemon at unix:///x. Is it running?", "start docker"),
        ("Got permission denied while trying to connect to the socket", "usermod"),
    ],
)
def test_an_engine_that_does_not_answer_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, hint: str
) -> None:
    docker_says(monkeypatch, tmp_path, err=words)
    with pytest.raises(UnavailableError) as caught:
        Engine().containers(lab="fakevm")
    assert hint in caught.value.hint


def test_what_an_ended_compose_left_is_swept() -> None:
    half = make_container("compute-1", name="0123456789ab_fakevm-compute-1-1", state="created")
    engine = RemovingEngine(make_container("compute-1"), half)
    make_up(engine)._sweep(Existing(containers=tuple(engine.all_containers)))
    assert [container.name for container in engine.all_containers] == ["fakevm-compute-1-1"]


def test_a_container_that_goes_meanwhile_is_none() -> None:
    api, mariadb = make_container("neutron-api"), make_container("mariadb")

    class Leaving(FakeEngine):
        def recipe(self, container: Container) -> Recipe:
            if container is mariadb:
                raise NotFoundError(f"Docker: No such container: {mariadb.id}")
            return super().recipe(container)

    found = existing_of("fakevm", Wishes(), [api, mariadb], [], engine=Leaving(api, mariadb))
    assert found.recipes.keys() == {"neutron-api"}


def test_a_container_that_never_ran_is_made_anew() -> None:
    # Compose may have been cut off before it joined it to all its networks.
    unstarted = make_container("compute-2", state="created")
    stopped = make_container("compute-3", state="exited")
    engine = RemovingEngine(make_container("compute-1"), unstarted, stopped)
    make_up(engine)._sweep(Existing(containers=tuple(engine.all_containers)))
    assert [container.service for container in engine.all_containers] == ["compute-1", "compute-3"]


def test_hosts_that_have_joined_stay_what_they_are() -> None:
    joined = make_container("compute-4", lab="edge", role="compute", home="fakevm")
    api = make_container("neutron-api", auth="noauth")
    existing = Existing(containers=(api, make_container("compute-1")))
    up = make_up(FakeEngine(*existing.containers, joined))

    def refuse(wishes: Wishes) -> None:
        wanted = settings("fakevm", wishes=wishes, existing=existing, networks=[], environ={})
        up._refuse_to_lose_guests(wanted, existing)

    refuse(Wishes(computes=3))
    with pytest.raises(ConflictError, match="a host compute-4 has joined the lab 'fakevm'"):
        refuse(Wishes(computes=4))
    with pytest.raises(ConflictError, match="outlives another --auth: compute-4") as told:
        refuse(Wishes(computes=3, options={"auth": "keystone"}))
    assert told.value.hint == "fakevm leave --name edge"


def test_hosts_whose_vms_nobody_can_tell_are_not_removed() -> None:
    containers = [make_container(f"compute-{n}", state="exited", health="") for n in (1, 2)]
    existing = Existing(containers=tuple(containers))
    wanted = settings(
        "fakevm", wishes=Wishes(computes=1), existing=existing, networks=[], environ={}
    )
    up = make_up(FakeEngine(*containers))
    with pytest.raises(ConflictError, match="whether compute-2 has VMs"):
        up._refuse_to_lose_vms(wanted, existing)
    never_ran = replace(
        existing, containers=(containers[0], replace(containers[1], state="created"))
    )
    up._refuse_to_lose_vms(wanted, never_ran)
    # All of them lose theirs where Keystone comes or goes.
    api = make_container("neutron-api", state="exited", health="", auth="noauth")
    existing = Existing(containers=(api, *containers))
    wanted = settings(
        "fakevm",
        wishes=Wishes(options={"auth": "keystone"}),
        existing=existing,
        networks=[],
        environ={},
    )
    with pytest.raises(ConflictError, match="whether compute-1, compute-2 has VMs"):
        up._refuse_to_lose_vms(wanted, existing)


@pytest.mark.parametrize("containers", [{}, {"1": {"Name": "mine"}}])
def test_a_network_that_the_engine_holds_on_to_is_told(containers: dict[str, object]) -> None:
    words = "error while removing network: network lab id 1 has active endpoints"

    class Client:
        def remove_network(self, _id: str) -> None:
            raise docker.errors.APIError(words, response=make_response(403), explanation=words)

        def inspect_network(self, _id: str) -> dict[str, object]:
            return {"Containers": containers}

    engine = Engine(cast("docker.APIClient", Client()))
    network = Network(id="1", name="lab", lab="lab", project="", role="", subnets=())
    if containers:
        with pytest.raises(FakevmError, match="active endpoints"):
            engine.delete_network(network)
    else:
        assert not engine.delete_network(network)


@pytest.mark.parametrize("words", ["", "container compute-1 is not connected to network lab"])
def test_only_what_is_a_labs_own_is_taken_off_its_network(words: str) -> None:
    disconnected = []

    class Client:
        def inspect_network(self, _id: str) -> dict[str, object]:
            return {"Containers": {"mine": {}, "guest": {}, "also mine": {}}}

        def disconnect_container_from_network(
            self, container: str, network: str, *, force: bool
        ) -> None:
            disconnected.append((container, network, force))
            if words:
                raise docker.errors.APIError(words, response=make_response(500), explanation=words)

    engine = Engine(cast("docker.APIClient", Client()))
    network = Network(id="1", name="lab", lab="lab", project="", role="", subnets=())
    containers = [make_container("compute-1", id=name) for name in ("mine", "also mine", "stopped")]
    engine.disconnect(network, containers)
    assert sorted(disconnected) == [("also mine", "1", True), ("mine", "1", True)]


def test_nothing_is_taken_off_a_network_that_is_gone() -> None:
    class Client:
        def inspect_network(self, _id: str) -> dict[str, object]:
            raise docker.errors.NotFound("gone", response=make_response(404), explanation="gone")

    engine = Engine(cast("docker.APIClient", Client()))
    network = Network(id="1", name="lab", lab="lab", project="", role="", subnets=())
    engine.disconnect(network, [make_container("compute-1")])


@pytest.mark.parametrize(
    ("only", "words"),
    [
        (None, "no process of Neutron's that is to run in mariadb"),
        ("l3", "no process 'l3' in mariadb"),
    ],
)
def test_what_has_no_neutron_can_t_begin_it_anew(only: str | None, words: str) -> None:
    engine = FakeEngine(make_container("mariadb"))
    with Parts("fakevm", engine=engine) as lab, pytest.raises(NotFoundError, match=words):
        restart(lab, ["mariadb"], only=only, engine=engine, timeout_s=1)


def test_what_ends_again_and_again_begins_anew_with_what_was_mended() -> None:
    class Healing(FakeEngine):
        def restart(self, container: Container) -> None:
            begun.append(container.service)
            self.all_containers[0] = replace(container, state="running", health="healthy")

    begun: list[str] = []
    engine = Healing(make_container("neutron-api", state="restarting", health=""))
    with Parts("fakevm", engine=engine) as lab:
        # What the lab was given can be told all the same.
        assert lab.neutron_version == "28.0.2"
        for chosen in ([], ["neutron-api"]):
            restart(lab, chosen, only=None, engine=engine, timeout_s=1)
    assert begun == ["neutron-api", "neutron-api"]


def test_keystone_begins_anew_where_it_is_named() -> None:
    class Restarting(FakeEngine):
        def restart(self, container: Container) -> None:
            begun.append(container.service)

    begun: list[str] = []
    engine = Restarting(make_container("neutron-api"), make_container("keystone"))
    with Parts("fakevm", engine=engine) as lab:
        (done,) = restart(lab, ["keystone"], only=None, engine=engine, timeout_s=1)
        assert (done.service, done.processes) == ("keystone", ("keystone",))
        restart(lab, only=None, engine=engine, timeout_s=1)
    assert begun == ["keystone", "neutron-api"]


def test_a_service_that_does_not_get_well_is_told_with_its_last_words() -> None:
    class Hanging(FakeEngine):
        def restart(self, container: Container) -> None:
            self.last_words = "waiting for ever"
            self.all_containers = [replace(container, health="starting")]

    engine = Hanging(make_container("neutron-api"))
    with Parts("fakevm", engine=engine) as lab, pytest.raises(WaitTimeoutError) as caught:
        restart(lab, ["neutron-api"], only=None, engine=engine, timeout_s=0.1)
    assert "neutron-api was not well again within 0.1 s" in str(caught.value)
    assert "waiting for ever" in str(caught.value)
    assert "fakevm restart neutron-api" in str(caught.value.hint)
