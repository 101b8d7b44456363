"""How a lab's hosts join the Neutron of another one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from fakevm.clients.containers import Network
from fakevm.clients.parts import Parts
from fakevm.errors import ConfigError, ConflictError, NotFoundError
from fakevm.labs.join import document_of, home_of, join, leave
from fakevm.recipe.decide import wanted_of
from fakevm.recipe.settings import Existing, Wishes, settings
from fakevm.recipe.share import files
from fakevm.recipe.subnets import ROLES
from tests.fakes.engine import FakeEngine, make_container

API = make_container("neutron-api", lab="home")
NETWORKS = [
    Network(id=role, name=f"fakevm-home_{role}", lab="home", project="", role=role, subnets=())
    for role in ROLES
]


@pytest.mark.parametrize("api", ["http://127.0.0.1:9696", "http://localhost:9696/"])
def test_a_neutron_is_found_by_where_it_is_published(api: str) -> None:
    assert home_of(api, [make_container("mariadb"), API]) == "home"


@pytest.mark.parametrize(
    ("api", "kind"),
    [
        ("http://127.0.0.1:9697", NotFoundError),
        ("http://192.0.2.1:9696", NotFoundError),
        ("http://localhost/networking", NotFoundError),
        ("http://127.0.0.1:nonsense", ConfigError),
    ],
)
def test_where_no_lab_s_neutron_is_nothing_joins(api: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        home_of(api, [make_container("mariadb"), API])


def test_hosts_are_made_as_the_other_lab_s_on_its_networks() -> None:
    home = settings("home", wishes=Wishes(), existing=Existing(), networks=NETWORKS, environ={})
    default = yaml.safe_load((files() / home.backend.document).read_text(encoding="utf-8"))
    made = document_of(
        default,
        replace(home, lab="edge"),
        home="home",
        hosts=["edge-1", "edge-2"],
        networks=NETWORKS,
    )
    first = default["services"]["compute-1"]
    label = {"labels": {"fakevm.home": "home"}}
    assert made["services"] == {
        name: {**first, "hostname": name, **label} for name in ("edge-1", "edge-2")
    }
    assert made["networks"]["underlay"] == {"name": "fakevm-home_underlay", "external": True}
    assert made["volumes"] == {"python": {"name": "fakevm-home_python", "external": True}}
    assert made["name"] == "fakevm-edge"
    assert "include" not in made


@pytest.mark.parametrize(
    ("hosts", "kind", "words"),
    [
        (["-1"], ConfigError, "no host's name"),
        (["edge", "edge"], ConfigError, "a name of its own"),
    ],
)
def test_what_no_hosts_are_called_is_refused(
    hosts: list[str], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        join("edge", api="", hosts=hosts, engine=FakeEngine(API), say=print, timeout_s=1)


def test_a_lab_of_its_own_cannot_leave() -> None:
    with pytest.raises(ConflictError, match="no lab 'fakevm' has joined a Neutron"):
        leave("fakevm", engine=FakeEngine(make_container("compute-1")))


def test_a_lab_that_has_joined_another_sees_the_hosts_of_both() -> None:
    edge = make_container("edge-1", lab="edge", role="compute", home="home", id="e")
    compute = make_container("compute-1", lab="home", id="c")
    engine = FakeEngine(edge, compute, API, make_container("compute-1"))
    lab = Parts("edge", engine=engine)
    assert [one.id for one in lab.computes] == ["e", "c"]
    assert lab.endpoint == "http://127.0.0.1:9696"
    assert [one.service for one in Parts("home", engine=engine).computes] == ["compute-1"]


def test_hosts_may_have_any_name() -> None:
    hosts = [make_container(name, lab="edge", role="compute", home="home") for name in ("w", "e")]
    existing = Existing(containers=tuple(hosts))
    assert existing.hosts == ("e", "w")
    assert wanted_of("edge", Wishes(), existing, ()).computes == 2
