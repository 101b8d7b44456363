"""How hosts join a Neutron that is no lab's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fakevm.clients.containers import Container, Recipe
from fakevm.clients.events import Events, Watcher
from fakevm.clients.parts import Parts
from fakevm.errors import ConfigError, ConflictError, UnavailableError, WaitTimeoutError
from fakevm.labs.elsewhere import Elsewhere, agents_of, check, document_of
from fakevm.neutron.api import Neutron
from fakevm.neutron.login import Login
from fakevm.neutron.sdk import login_of
from fakevm.neutron.values import NeutronAgent, Port
from fakevm.recipe.settings import Existing, Settings, Wishes, settings
from fakevm.recipe.share import files
from tests.fakes.engine import FakeEngine, make_container
from tests.fakes.keystone import Keystone

API = "http://192.0.2.1:9696"
OVS = Elsewhere(api=API, transport_url="rabbit://neutron:pa$$word@192.0.2.1/")
OVN = Elsewhere(api=API, ovn_sb="tcp:192.0.2.1:6642")
LOGIN = Login(
    auth_url="http://192.0.2.9/identity/v3",
    username="admin",
    project="admin",
    password="it's $ecret",
    user_domain={"name": "Default"},
)


def make_agent(binary: str = "neutron-openvswitch-agent", host: str = "node-1") -> NeutronAgent:
    return NeutronAgent(id="a", binary=binary, host=host, alive=True, admin_state_up=True)


def wanted(there: Elsewhere) -> Settings:
    wishes = Wishes(backend=there.backend.name)
    return settings("edge", wishes=wishes, existing=Existing(), networks=[], environ={})


def document(there: Elsewhere) -> dict[str, Any]:
    found = wanted(there)
    default = yaml.safe_load((files() / found.backend.document).read_text(encoding="utf-8"))
    return document_of(
        default, found, there=there, hosts=["edge-1", "edge-2"], addresses=there.addresses()
    )


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (Elsewhere(api=API), "a message bus, or"),
        (replace(OVS, ovn_sb="tcp:192.0.2.1:6642"), "a message bus, or"),
        (replace(OVS, api="https://192.0.2.1:9696"), "a URL of http is expected"),
        (replace(OVS, api="http://:9696"), "a URL of http is expected"),
        (replace(OVS, api="http://192.0.2.1:nonsense"), "is no URL"),
        (replace(OVS, api="http://127.0.0.1:9696"), "each host itself"),
        (replace(OVS, transport_url="rabbit://u:p@localhost/"), "each host itself"),
        (replace(OVS, transport_url="kafka://u:hidden@192.0.2.1/"), "'kafka://…@192.0.2.1/'"),
        (replace(OVN, ovn_sb="ssl:192.0.2.1:6642"), "a URL of tcp is expected"),
        (replace(OVN, ovn_sb="192.0.2.1"), "a URL of tcp is expected"),
        (replace(OVN, api="http://no-such-name.invalid"), "no-such-name.invalid"),
    ],
)
def test_what_no_host_can_reach_is_refused(there: Elsewhere, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        _ = there.addresses(), there.backend
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("there", [OVS, OVN], ids=["ovs", "ovn"])
def test_hosts_are_told_where_that_neutron_is(there: Elsewhere) -> None:
    made = document(there)
    assert set(made["services"]) == {"nova-events", "edge-1", "edge-2"}
    assert [path.rpartition("/")[2] for path in made["include"]] == ["networks.yml"]
    host = made["services"]["edge-1"]
    assert host["hostname"] == "edge-1"
    env = host["environment"]
    assert env["FAKEVM_API"] == API
    assert env["FAKEVM_PEERS"] == "192.0.2.1"
    assert env["FAKEVM_UNDERLAY_GATEWAY"].endswith(".1")
    # Compose takes a dollar for a variable.
    assert env.get("OS_DEFAULT__TRANSPORT_URL") == (
        "rabbit://neutron:pa$$$$word@192.0.2.1/" if there is OVS else None
    )
    assert env.get("FAKEVM_OVN_SB") == (there.ovn_sb or None)
    labels = made["services"]["nova-events"]["labels"]
    assert labels == {"fakevm.neutron": API, "fakevm.backend": there.backend.name}
    assert made["volumes"]["python"]["labels"] == {"fakevm.lab": "edge"}


def test_a_name_that_this_machine_knows_hosts_know_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(None, None, None, "", ("192.0.2.7", 0))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: found)
    made = document(replace(OVS, api="http://devstack:9696"))
    assert made["services"]["edge-2"]["extra_hosts"]["devstack"] == "192.0.2.7"


def test_a_user_s_login_comes_back_as_it_was_given() -> None:
    told = replace(OVN, login=LOGIN).told()
    again = Login.of_request(told["FAKEVM_KEYSTONE_URL"], told["FAKEVM_KEYSTONE_LOGIN"])
    assert again == LOGIN
    assert again.credentials()["user_domain_name"] == "Default"
    assert again.credentials()["project_domain_id"] == "default"


def test_hosts_of_another_backend_than_neutron_s_are_refused() -> None:
    with pytest.raises(ConflictError, match=r"neutron-openvswitch-agent.*not of ML2/OVN") as caught:
        check(OVN, [make_agent()], ["edge-1"])
    assert "--transport-url" in caught.value.hint
    with pytest.raises(ConflictError, match=r"ovn-controller.*not of ML2/OVS"):
        check(OVS, [make_agent("ovn-controller")], ["edge-1"])
    with pytest.raises(ConflictError, match="has a host node-1 already"):
        check(OVS, [make_agent()], ["node-1"])
    check(OVS, [make_agent()], ["edge-1"])


def test_a_neutron_with_keystone_asks_for_a_user() -> None:
    with (
        Keystone() as keystone,
        pytest.raises(ConfigError, match="wants to know who asks") as caught,
    ):
        agents_of(Neutron(keystone.url))
    assert "--os-cloud" in caught.value.hint


def test_a_neutron_that_does_not_answer_is_named() -> None:
    # Keystone's fake has gone, and its port with it.
    with Keystone() as keystone:
        pass
    with pytest.raises(UnavailableError, match=f"Neutron at {keystone.url} does not answer"):
        agents_of(Neutron(keystone.url))


class JoinedEngine(FakeEngine):
    """A lab that has joined a Neutron."""

    def recipe(self, container: Container) -> Recipe:
        told = replace(OVS, login=LOGIN).told()
        return Recipe(image="fakevm/host:29.0.0", environment=told, ports={})


@pytest.fixture
def joined() -> Iterator[Parts]:
    nova = make_container("nova-events", neutron=API, backend="ovs")
    edge = make_container("edge-1", role="compute", id="e")
    with Parts("fakevm", engine=JoinedEngine(nova, edge)) as lab:
        yield lab


def test_a_joined_neutron_is_asked_where_it_is(joined: Parts) -> None:
    assert joined.endpoint == API
    assert joined.logins == {"admin": LOGIN}
    assert joined.neutron_version == "29.0.0"
    assert joined.backend.name == "ovs"
    assert joined.home == "fakevm"


def test_a_port_on_a_hypervisor_is_left_alone(joined: Parts) -> None:
    values: dict[str, Any] = dict.fromkeys(Port.__dataclass_fields__, "")
    joined.check_host_of(Port(**{**values, "id": "p", "host": "edge-1"}))
    joined.check_host_of(Port(**{**values, "id": "p"}))
    with pytest.raises(ConflictError, match="port p is on node-1, which is no host of the lab"):
        joined.check_host_of(Port(**{**values, "id": "p", "host": "node-1"}))


def test_where_nobody_is_told_the_hosts_are_looked_at() -> None:
    looks: list[tuple[str, str]] = []

    def look(host: str, port_id: str, *, within_s: float) -> bool:
        looks.append((host, port_id))
        return port_id != "never"

    def connect() -> Any:
        raise UnavailableError("nova-events need not be asked")

    waiter = Events(connect, look=look).waiter("vm", "network-vif-plugged", ["a", "b", "a"])
    assert isinstance(waiter, Watcher)
    waiter.wait(5, host="edge-1")
    assert looks == [("edge-1", "a"), ("edge-1", "b")]
    assert waiter.missing == ()
    late = Events(connect, look=look).waiter("vm", "network-vif-plugged", ["a", "never"])
    with pytest.raises(WaitTimeoutError, match="port never was not wired within 0 s"):
        late.wait(0, host="edge-1")


def test_a_cloud_of_the_user_s_says_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = {
        "auth_url": "http://192.0.2.9/identity",
        "username": "admin",
        "password": LOGIN.password,
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_id": "default",
    }
    token = {"auth_type": "v3token", "auth": {"auth_url": "http://192.0.2.9/", "token": "t"}}
    path = tmp_path / "clouds.yaml"
    path.write_text(yaml.safe_dump({"clouds": {"devstack": {"auth": auth}, "token": token}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    assert login_of("devstack") == LOGIN
    with pytest.raises(ConfigError, match="token: username, password, project_name is missing"):
        login_of("token")
    with pytest.raises(ConfigError, match="--os-cloud nowhere"):
        login_of("nowhere")
