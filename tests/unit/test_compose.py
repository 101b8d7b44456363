from __future__ import annotations

import ipaddress
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from fakevm.backends import known
from fakevm.backends.backend import Backend
from fakevm.backends.known import BACKENDS
from fakevm.backends.ovn import OVN
from fakevm.backends.ovs import OVS
from fakevm.clients.containers import KEYSTONE, Network, Recipe
from fakevm.errors import ConfigError, ConflictError
from fakevm.names import KEYSTONE_PORT, NEUTRON_PORT, check_lab, project
from fakevm.neutron.login import Login
from fakevm.recipe import compose, overlay, releases, settings, subnets
from fakevm.recipe.settings import Existing, Settings, Wishes
from fakevm.recipe.share import files
from tests.fakes.engine import make_container


def make_docker_network(name: str, subnet: str, *, lab: str = "", role: str = "") -> Network:
    return Network(id=name, name=name, lab=lab, project="", role=role, subnets=(subnet,))


def decide(
    lab: str = "fakevm",
    *,
    wishes: Wishes = Wishes(),  # noqa: B008
    existing: Existing = Existing(),  # noqa: B008
    networks: tuple[Network, ...] = (),
    environ: dict[str, str] | None = None,
) -> Settings:
    return settings.settings(
        lab,
        wishes=wishes,
        existing=existing,
        networks=networks,
        environ=environ or {},
        new_password=lambda: "new",
    )


def running_lab(*, computes: int = 2) -> Existing:
    hosts = [f"compute-{number}" for number in range(1, computes + 1)]
    services = ("neutron-api", "mariadb", "rabbitmq", "network-1", *hosts)
    roles = subnets.slice_of(7)
    return Existing(
        containers=tuple(make_container(service) for service in services),
        networks=tuple(
            make_docker_network(f"fakevm_{role}", subnet, lab="fakevm", role=role)
            for role, subnet in roles.items()
        ),
        recipes={
            "mariadb": make_recipe(DATABASE_PASSWORD="old-db"),
            "rabbitmq": make_recipe(RABBITMQ_PASSWORD="old-mq"),
            "network-1": make_recipe(
                OS_DEFAULT__METADATA_PROXY_SHARED_SECRET="old-secret", FAKEVM_DATAPATH="netdev"
            ),
            "neutron-api": Recipe(
                image="fakevm/neutron:29.0.0", environment={}, ports={NEUTRON_PORT: 12345}
            ),
        },
    )


def make_recipe(**environment: str) -> Recipe:
    return Recipe(image="", environment=environment, ports={})


def test_a_new_lab_has_the_defaults_and_passwords_of_its_own() -> None:
    made = decide()
    assert (made.computes, made.api_port, made.neutron_version) == (3, 9696, "28.0.2")
    assert made.subnets == {
        "management": "198.18.0.0/23",
        "underlay": "198.18.2.0/23",
        "provider": "198.18.4.0/23",
    }
    assert set(made.passwords.values()) == {"new"}


def test_l2population_is_as_wished_as_it_was_or_on() -> None:
    def l2population(**given: Any) -> str:
        return decide(**given).options["l2population"]

    assert l2population() == "true"
    assert l2population(wishes=Wishes(options={"l2population": "false"})) == "false"
    recipe = make_recipe(OS_AGENT__L2_POPULATION="false")
    assert l2population(existing=Existing(recipes={"network-1": recipe})) == "false"
    assert l2population(environ={"FAKEVM_L2_POPULATION": "False"}) == "false"


def test_the_configuration_s_folder_is_as_wished_as_it_was_or_none(tmp_path: Path) -> None:
    def folder(**given: Any) -> Path | None:
        return decide(**given).config

    existing = Existing(recipes={"neutron-api": make_recipe(FAKEVM_CONFIG=str(tmp_path))})
    plain = Existing(recipes={"neutron-api": make_recipe(FAKEVM_CONFIG="/dev/null")})
    other = tmp_path / "other"
    other.mkdir()
    assert folder() is folder(existing=plain) is None
    assert folder(existing=existing) == folder(environ={"FAKEVM_CONFIG": str(tmp_path)}) == tmp_path
    assert folder(existing=existing, wishes=Wishes(config=other)) == other
    assert folder(existing=existing, wishes=Wishes(config=settings.NOTHING)) is None
    # Compose mounts a path of this machine's; what is there instead of a folder is none.
    assert compose.environment(decide(), {})["FAKEVM_CONFIG"] == "/dev/null"
    other.rmdir()
    with pytest.raises(ConfigError, match="other, the lab's --config, is no folder"):
        folder(wishes=Wishes(config=other))


def test_a_tree_and_packages_are_as_wished_as_they_were_or_none(tmp_path: Path) -> None:
    def both(**given: Any) -> tuple[Path | None, tuple[str, ...]]:
        made = decide(**given)
        return made.neutron_src, made.packages

    recipe = make_recipe(FAKEVM_NEUTRON_SRC=str(tmp_path), FAKEVM_PACKAGES='["a==1", "/b"]')
    existing = Existing(recipes={"neutron-api": recipe})
    assert both() == (None, ())
    assert both(existing=existing) == (tmp_path, ("a==1", "/b"))
    # Each for itself.
    assert both(existing=existing, wishes=Wishes(packages=())) == (tmp_path, ())
    assert both(existing=existing, wishes=Wishes(neutron_src=settings.NOTHING)) == (
        None,
        ("a==1", "/b"),
    )
    handed = compose.environment(decide(existing=existing), {})
    assert handed["FAKEVM_NEUTRON_SRC"] == str(tmp_path)
    assert json.loads(handed["FAKEVM_PACKAGES"]) == ["a==1", "/b"]
    with pytest.raises(ConfigError, match=r"gone, the lab's --neutron-src, is no folder"):
        both(wishes=Wishes(neutron_src=tmp_path / "gone"))


@pytest.mark.parametrize(
    ("spec", "is_path"),
    [
        ("networking-sfc==23.0.0", False),
        ("git+https://opendev.org/openstack/networking-sfc", False),
        ("mine @ https://example.org/mine-1.0-py3-none-any.whl", False),
        ("/home/me/mine", True),
        ("/home/me/mine-1.0-py3-none-any.whl", True),
    ],
)
def test_what_pip_takes_for_a_path_is_mounted(spec: str, is_path: bool) -> None:
    assert overlay.is_path(spec) == is_path


def test_drivers_are_as_wished_as_they_were_or_the_images() -> None:
    def drivers(**given: Any) -> str:
        return decide(**given).options["mechanism-drivers"]

    recipe = make_recipe(OS_ML2__MECHANISM_DRIVERS="mine,l2population")
    existing = Existing(recipes={"neutron-api": recipe})
    assert drivers() == ""
    assert drivers(existing=existing) == "mine,l2population"
    assert drivers(wishes=Wishes(options={"mechanism-drivers": "Mine"})) == "Mine"
    wishes = Wishes(options={"mechanism-drivers": "default"})
    assert drivers(existing=existing, wishes=wishes) == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"l2-agent": "one\ttwo"}, r"l2-agent: 'one\\ttwo' has what can't be printed"),
        ({"datapath": "dpdk"}, r"datapath: auto, system, netdev is expected, not 'dpdk'"),
        (
            {"firewal": "noop"},
            r"ML2/OVS has no option firewal, but l2population, firewall, l2-agent, mechanism",
        ),
    ],
)
def test_an_option_that_the_backend_does_not_have_is_refused(
    options: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        decide(wishes=Wishes(options=options))


def test_a_backend_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match="no backend 'linuxbridge'; there are: ovs"):
        known.get("linuxbridge")


def test_a_lab_that_is_there_stays_as_it_is() -> None:
    made = decide(existing=running_lab())
    assert (made.computes, made.api_port, made.backend) == (2, 12345, OVS)
    assert {name: value for name, value in made.options.items() if value} == {
        "auth": "noauth",
        "datapath": "netdev",
        "l2population": "true",
        "firewall": "openvswitch",
        "answer-as-nova": "false",
    }
    assert made.neutron_version == "29.0.0"
    assert made.subnets == subnets.slice_of(7)
    assert sorted(made.passwords.values()) == ["old-db", "old-mq", "old-secret"]


def test_a_wish_changes_only_what_it_names() -> None:
    before, after = decide(existing=running_lab()), Wishes(computes=5)
    assert decide(existing=running_lab(), wishes=after) == replace(before, computes=5)


def test_half_a_lab_keeps_the_passwords_that_it_has() -> None:
    half = running_lab()
    made = decide(existing=replace(half, recipes={"mariadb": half.recipes["mariadb"]}))
    assert made.passwords["FAKEVM_DATABASE_PASSWORD"] == "old-db"
    assert made.passwords["FAKEVM_RABBITMQ_PASSWORD"] == "new"


def test_slices_are_disjoint_and_in_the_labs_range() -> None:
    networks = [
        ipaddress.IPv4Network(subnet)
        for number in range(subnets.SLICES)
        for subnet in subnets.slice_of(number).values()
    ]
    assert len(networks) == 3 * subnets.SLICES
    assert all(network.subnet_of(subnets.LABS_RANGE) for network in networks)
    networks.sort()
    assert not any(one.overlaps(other) for one, other in pairwise(networks))


def test_another_lab_has_its_own_subnets_and_port_every_time() -> None:
    made = decide("other")
    assert made == decide("other")
    assert made.subnets != decide().subnets
    assert made.api_port != decide().api_port


def test_a_slice_that_is_taken_is_passed_over() -> None:
    first = subnets.choose_slice("other", [])
    taken = make_docker_network("x", subnets.slice_of(first)["underlay"])
    second = subnets.choose_slice("other", [taken])
    assert second == first % (subnets.SLICES - 1) + 1


def test_no_slice_left_is_an_error() -> None:
    with pytest.raises(ConflictError, match="every slice"):
        subnets.choose_slice("other", [make_docker_network("x", str(subnets.LABS_RANGE))])


def test_a_network_in_the_default_lab_s_way_is_named() -> None:
    taken = (make_docker_network("corporate", "198.18.0.0/16"),)
    with pytest.raises(ConflictError, match=r"corporate \(198.18.0.0/16\)"):
        decide(networks=taken)


def test_networks_of_the_lab_itself_and_ipv6_ones_are_not_in_the_way() -> None:
    networks = (
        make_docker_network("fakevm_underlay", "198.18.2.0/23", lab="fakevm"),
        make_docker_network("six", "fd00::/64"),
    )
    assert decide(networks=networks).subnets == decide().subnets


def test_subnets_of_the_user_s_environment_are_taken() -> None:
    made = decide(environ={"FAKEVM_PROVIDER_SUBNET": "10.99.0.0/24"})
    assert made.subnets["provider"] == "10.99.0.0/24"
    assert made.subnets["underlay"] == "198.18.2.0/23"


@pytest.mark.parametrize("name", ["", "-x", "Upper", "a b", "../x", "a" * 32, "$(id)", "名"])
def test_what_is_no_lab_s_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        check_lab(name)


def test_the_releases_are_those_with_constraints() -> None:
    found = releases.supported(files())
    assert {releases.DEFAULT, "29.0.0"} <= set(found)
    # Oldest first.
    assert found == sorted(found, key=lambda release: [int(part) for part in release.split(".")])


@pytest.mark.parametrize("wanted", ["27.0.0", "latest", "../x"])
def test_an_unsupported_release_is_refused_with_the_supported_ones(wanted: str) -> None:
    with pytest.raises(ConfigError, match=r"28\.0\.2, 29\.0\.0"):
        releases.check("ci", wanted=wanted, existing="", known=("28.0.2", "29.0.0"))


@pytest.mark.parametrize("wanted", ["24.2.2", "25.2.3"])
def test_a_release_that_cannot_run_is_refused_with_the_reason(wanted: str) -> None:
    with pytest.raises(ConfigError, match=r"greenlet 3\.0\.3 .* Python 3\.13"):
        releases.check("ci", wanted=wanted, existing="", known=("28.0.2",))


def test_a_lab_of_a_release_that_is_supported_no_more_stays_as_it_is() -> None:
    releases.check("ci", wanted="27.0.0", existing="27.0.0", known=["28.0.2"])


@pytest.mark.parametrize("existing", ["", "9.0.0", "28.0.2", "29.0.0"])
def test_a_lab_goes_on_to_a_newer_release(existing: str) -> None:
    releases.check("ci", wanted="29.0.0", existing=existing, known=["29.0.0"])


def test_a_lab_does_not_go_back_to_an_older_release() -> None:
    supported = ("28.0.2", "29.0.0")
    with pytest.raises(ConflictError, match=r"has Neutron 29\.0\.0") as caught:
        releases.check("ci", wanted="28.0.2", existing="29.0.0", known=supported)
    assert "fakevm --lab ci down" in caught.value.hint


@pytest.mark.parametrize("variable", [one.variable for one in OVS.passwords])
@pytest.mark.parametrize("password", ["p@ss", "a b", "x/y", "день", "a$b", "a\n"])
def test_a_password_that_would_break_a_url_is_refused(variable: str, password: str) -> None:
    with pytest.raises(ConfigError, match=variable) as caught:
        decide(environ={variable: password})
    assert password not in str(caught.value)


def test_a_password_of_the_user_s_environment_is_taken() -> None:
    made = decide(environ={"FAKEVM_DATABASE_PASSWORD": "Abc123"})
    assert made.passwords["FAKEVM_DATABASE_PASSWORD"] == "Abc123"


def test_the_project_is_named_after_the_lab() -> None:
    assert (project("fakevm"), project("ci")) == ("fakevm", "fakevm-ci")


def test_a_project_of_the_user_s_is_not_touched() -> None:
    foreign = make_container("web", lab="")
    with pytest.raises(ConflictError, match=foreign.name):
        compose.check_ownership("fakevm", [make_container("mariadb"), foreign], [])
    compose.check_ownership("fakevm", [make_container("mariadb")], [])


def test_networks_of_such_a_project_are_not_touched_either() -> None:
    network = replace(make_docker_network("fakevm_default", "10.0.0.0/24"), project="fakevm")
    with pytest.raises(ConflictError, match="fakevm_default"):
        compose.check_ownership("fakevm", [], [network])
    compose.check_ownership("other", [], [network])


def test_compose_s_own_variables_are_not_handed_on() -> None:
    env = compose.environment(decide(), {"COMPOSE_FILE": "x", "PATH": "/bin", "FAKEVM_LAB": "y"})
    assert "COMPOSE_FILE" not in env
    assert (env["PATH"], env["FAKEVM_LAB"]) == ("/bin", "fakevm")
    assert env["FAKEVM_MANAGEMENT_SUBNET"] == "198.18.0.0/23"


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda one: one.name)
def test_a_lab_has_keystone_where_it_is_wished(backend: Backend) -> None:
    without = decide(wishes=Wishes(backend=backend.name))
    wished = decide(wishes=Wishes(backend=backend.name, options={"auth": "keystone"}))
    path = files() / backend.document
    before = compose.document(load(path), without)
    after = compose.document(load(path), wished)
    (added,) = set(after["include"]) - set(before["include"])
    service = load(path.parent / added)["services"]["keystone"]
    published = Recipe(image="", environment={}, ports={KEYSTONE_PORT: 5007})
    found = settings.KEYSTONE_PASSWORD
    assert service["environment"][found.environment] == f"${{{found.variable}:?}}"
    # Whatever the user's environment has.
    of_user = {found.variable: "exported"}
    assert compose.environment(without, of_user)[found.variable] == ""
    handed = compose.environment(wished, {})
    assert (handed["FAKEVM_AUTH"], handed["FAKEVM_KEYSTONE_PASSWORD"]) == ("keystone", "new")
    assert compose.environment(without, {})["FAKEVM_KEYSTONE_LOGIN"] == ""
    nova = Login.of_request("http://keystone:5000/v3", handed["FAKEVM_KEYSTONE_LOGIN"])
    assert (nova.username, nova.project, nova.password) == ("nova", "service", "new")
    # What is there stays.
    recipes = {"keystone": published, "neutron-api": make_recipe(FAKEVM_AUTH="keystone")}
    again = decide(existing=Existing(recipes=recipes))
    assert again.has_keystone
    assert again.keystone_port == 5007


def test_keystone_is_published_beside_neutron() -> None:
    assert decide().keystone_port == 5000
    assert decide(wishes=Wishes(api_port=9700)).keystone_port == 5004
    assert decide(wishes=Wishes(api_port=4700)).keystone_port == 4701
    assert decide(wishes=Wishes(api_port=9700, keystone_port=1)).keystone_port == 1
    with pytest.raises(ConfigError, match="9700 can't be both"):
        decide(wishes=Wishes(api_port=9700, keystone_port=9700))


def test_more_hosts_are_made_as_the_default_lab_s_are() -> None:
    text = (files() / "docker-compose.yml").read_text(encoding="utf-8")
    default = yaml.safe_load(text)
    assert compose.document(default, decide()) == default
    more = compose.document(default, decide(wishes=Wishes(computes=5)))
    assert more["services"]["compute-5"] == {
        **default["services"]["compute-1"],
        "hostname": "compute-5",
    }
    assert more["include"] == default["include"]


def test_a_host_of_another_release_is_as_it_was_made_until_it_is_upgraded() -> None:
    default = load(files() / "docker-compose.yml")
    own = default["services"]["compute-2"]
    mixed = decide(wishes=Wishes(neutron_version="29.0.0", host_neutron={"compute-2": "28.0.2"}))
    assert mixed.releases == ["29.0.0", "28.0.2"]
    services = compose.document(default, mixed)["services"]
    assert services["compute-2"] == {**own, "image": "fakevm/host:28.0.2"}
    assert services["compute-1"] == default["services"]["compute-1"]
    # The lab's packages are of the lab's release.
    with_packages = compose.document(default, replace(mixed, packages=("a",)))["services"]
    assert with_packages["compute-2"]["environment"] == {"FAKEVM_OVERLAY": "/nowhere"}
    assert "environment" not in with_packages["compute-1"]
    # So is the L2 agent that one of them brings.
    brought = replace(
        mixed, packages=("a",), options={**mixed.options, "l2-agent": "lane-agent --fast"}
    )
    other = compose.document(default, brought)["services"]["compute-2"]
    assert other["environment"]["FAKEVM_L2_AGENT"] == ""
    assert other["labels"] == {"fakevm.l2-agent": ""}
    assert compose.environment(brought, {})["FAKEVM_L2_AGENT"] == "lane-agent --fast"

    computes = [
        make_container(f"compute-{number}", role="compute", source=f"{release}-abc")
        for number, release in enumerate(("29.0.0", "28.0.2", "29.0.0"), start=1)
    ]
    api = make_container("neutron-api", source="29.0.0-abc")
    recipe = replace(make_recipe(), image="fakevm/neutron:29.0.0")
    existing = Existing(containers=(api, *computes), recipes={"neutron-api": recipe})

    def again(**given: Any) -> dict[str, str]:
        return dict(decide(existing=existing, wishes=Wishes(**given)).host_neutron)

    assert again() == {"compute-2": "28.0.2"}
    assert again(computes=1) == again(host_neutron={"compute-2": "default"}) == {}
    assert again(host_neutron={"compute-1": "28.0.2"}) == {
        "compute-1": "28.0.2",
        "compute-2": "28.0.2",
    }
    for host in ("compute-4", "network-1", "compute-0"):
        with pytest.raises(ConfigError, match=f"no compute host '{host}' of compute-1 to -3"):
            again(host_neutron={host: "28.0.2"})


def load(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def extended(path: Path, name: str) -> dict[str, Any]:
    """Return a service of a file as Compose sees it, with what it extends."""
    service = load(path)["services"][name]
    if "extends" not in service:
        return dict(service)
    whole = service["extends"]
    base = extended(path.parent / whole.get("file", path.name), whole["service"])
    merged = {
        key: {**base.get(key, {}), **service.get(key, {})} for key in ("environment", "labels")
    }
    return {**base, **service, **merged}


def services(backend: Backend) -> dict[str, dict[str, Any]]:
    """Return all services of a backend's lab."""
    document = files() / backend.document
    paths = [document, *(document.parent / path for path in load(document)["include"])]
    return {name: extended(path, name) for path in paths for name in load(path).get("services", {})}


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda one: one.name)
def test_the_compose_files_hand_each_password_to_where_it_is_read_back(backend: Backend) -> None:
    found = services(backend)
    for handed in backend.passwords:
        value = found[handed.service]["environment"][handed.environment]
        assert value.partition(":-")[0] == "${" + handed.variable


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda one: one.name)
def test_the_compose_files_hand_each_option_to_where_it_is_read_back(backend: Backend) -> None:
    found = services(backend)
    for option in settings.options_of(backend):
        value = found[option.service]["environment"][option.environment]
        assert value == f"${{{option.variable}:-{''.join(option.values[:1])}}}"
        if option.service == "network-1":
            # It is every host's.
            assert found["compute-1"]["environment"][option.environment] == value


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda one: one.name)
def test_a_lab_starts_in_the_order_of_its_services(backend: Backend) -> None:
    roles = {service["labels"]["fakevm.role"] for service in services(backend).values()}
    assert {*roles, KEYSTONE} == {*backend.start_order, "compute"}


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda one: one.name)
def test_every_service_is_the_lab_s_and_of_an_image_that_is_built(backend: Backend) -> None:
    found = services(backend)
    built = {one["image"] for one in found.values() if "build" in one}
    for service in found.values():
        assert service["labels"]["fakevm.lab"] == "${FAKEVM_LAB:-fakevm}"
        assert service["image"] in built


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda one: one.name)
def test_the_containers_say_which_backend_their_lab_has(backend: Backend) -> None:
    found = services(backend)
    assert found["neutron-api"]["labels"]["fakevm.backend"] == backend.name
    for name in ("neutron-api", "network-1", "compute-1"):
        assert found[name]["environment"]["FAKEVM_BACKEND"] == backend.name


def test_a_lab_keeps_its_backend() -> None:
    with pytest.raises(ConflictError, match="ML2/OVS, which stays") as caught:
        decide(wishes=Wishes(backend="ovn"), existing=running_lab())
    assert "fakevm up --name ANOTHER --backend ovn" in caught.value.hint
    assert decide(wishes=Wishes(backend="ovs"), existing=running_lab()).backend is OVS
    assert decide(existing=running_lab()).backend is OVS


def test_a_new_lab_has_the_backend_that_is_wished() -> None:
    made = decide(wishes=Wishes(backend="ovn", options={"metadata": "false"}))
    assert made.backend is OVN
    assert made.options["metadata"] == "false"
    assert "FAKEVM_RABBITMQ_PASSWORD" not in made.passwords
    assert decide().backend is OVS
