"""Labs side by side, from a wheel without a checkout, and by Compose alone."""

from __future__ import annotations

import itertools
import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from openstack.exceptions import ForbiddenException

from fakevm.recipe import releases
from tests.integration import plain, tree
from tests.integration.cloud import Cloud
from tests.integration.command import Fakevm, interrupt_when
from tests.integration.conftest import LOGS
from tests.integration.hosts import container_ids
from tests.integration.lab import Lab, docker_logs
from tests.integration.play import FAULT, SOUND, play
from tests.waiting import wait_until

# The default release has mended what is wrong in this one: a migrated port stays DOWN.
FAULTY = "29.0.0"

# What an L2 agent of an edited tree says.
EDITED = "as it was edited"

# What the user lays over Neutron's configuration there.
LAID_OVER = {
    "neutron.conf.d/quotas.conf": "[quotas]\nquota_router = 7\n",
    "policy.yaml": '"create_address_scope": "!"\n',
    "hosts/compute-1/openvswitch_agent.ini": "[agent]\nquitting_rpc_timeout = 9\n",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fakevm` from a wheel, in a fresh virtual environment outside the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    plain.run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, plain.ROOT)
    (wheel,) = folder.glob("fakevm-*.whl")
    plain.run(sys.executable, "-m", "venv", folder / "venv")
    plain.run(folder / "venv/bin/python", "-m", "pip", "install", "-q", wheel)
    return folder / "venv/bin/fakevm"


@pytest.fixture(scope="module")
def second(lab: Lab, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of another release beside the session's, from an empty folder, at the second try.

    Its security groups are carried out by iptables, for which VIFs are plugged another way.
    """
    empty = tmp_path_factory.mktemp("empty")
    config = tmp_path_factory.mktemp("config")
    for name, text in LAID_OVER.items():
        (config / name).parent.mkdir(parents=True, exist_ok=True)
        (config / name).write_text(text, encoding="utf-8")
    second = Lab(f"{lab.name}-second")
    second.fakevm = Fakevm(lab=second.name, executable=installed, cwd=empty)
    command = (
        *("up", "--name", second.name, "--computes", "2"),
        *("--neutron", FAULTY, "--firewall", "iptables_hybrid"),
        *("--config", str(config)),
    )
    try:
        first_try = second.fakevm.start(*command)
        interrupt_when(first_try, "a container", lambda: container_ids(second.name))
        assert first_try.returncode == 130
        second.fakevm.ok(*command)
        assert list(empty.iterdir()) == []
        yield second
    finally:
        second.save_logs(LOGS / second.name)
        second.fakevm.ok("down", "--name", second.name)


@pytest.mark.nightly
def test_two_labs_share_nothing(lab: Lab, second: Lab, cloud: Cloud) -> None:
    one, other = plain.subnets(lab.name), plain.subnets(second.name)
    assert len(one) == len(other) == 3
    assert not one.keys() & other.keys()
    for a, b in itertools.product(one.values(), other.values()):
        assert not a.overlaps(b)
    (mine,), (its,) = (plain.published_ports(x.name)["neutron-api"] for x in (lab, second))
    assert mine["HostPort"] != its["HostPort"]

    here = cloud.guest(cloud.network(cidr="10.14.0.0/24"), "same", "compute-1")
    with Cloud(second, "second") as cloud_there:
        there = cloud_there.guest(cloud_there.network(cidr="10.14.0.0/24"), "same", "compute-1")
        assert [row["port_id"] for row in second.fakevm.json("list")] == [there.port_id]
        assert there.port_id not in [row["port_id"] for row in lab.fakevm.json("list")]
        assert second.host("compute-1").container != lab.host("compute-1").container
        assert lab.fakevm.json("cleanup") == second.fakevm.json("cleanup") == []
    here.exec("true")


@pytest.mark.nightly
def test_what_is_laid_over_neutron_s_configuration_has_the_word(
    second: Lab, tmp_path: Path
) -> None:
    assert second.sdk.network.get_quota("any").routers == 7
    with pytest.raises(ForbiddenException):
        second.sdk.network.create_address_scope(name="refused", ip_version=4)
    rows = json.loads(second.fakevm.ok("config", "show", "-f", "json", "--process", "l2-agent"))
    found = {row["service"]: row for row in rows if row["option"] == "quitting_rpc_timeout"}
    assert found.keys() == {"compute-1"}
    assert found["compute-1"]["value"] == "9"
    assert found["compute-1"]["file"].endswith("hosts/compute-1/openvswitch_agent.ini")

    # What could not be read changes nothing.
    before = container_ids(second.name)
    (tmp_path / "ml2_conf.ini").write_text("[ml2\n", encoding="utf-8")
    refused = second.fakevm.fails(2, "up", "--name", second.name, "--config", str(tmp_path))
    assert "ml2_conf.ini" in refused
    assert container_ids(second.name) == before


@pytest.mark.nightly
def test_iptables_filter_on_a_bridge_of_the_vif_s_own(second: Lab) -> None:
    with Cloud(second, "hybrid") as cloud:
        network, closed = cloud.network(cidr="10.16.0.0/24"), cloud.security_group()
        a = cloud.guest(network, "a", "compute-1", group="default")
        b = cloud.guest(network, "b", "compute-2", group="default")
        c = cloud.guest(network, "c", "compute-2", group=closed)
        assert f"qvo{b.port_id}"[:14] in {one["name"] for one in b.host.interfaces().values()}
        a.ping(b.ip)
        a.cannot_ping(c.ip)


@pytest.mark.nightly
def test_the_port_that_stays_down_is_found(second: Lab, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = play(second, "stays-down", "--report", str(page))
    assert result.exit_code == FAULT, f"{result}"
    told = result.json()
    assert told["neutron"] == FAULTY
    assert "DOWN on" in told["found"]
    assert told["measured"]["status_since_activate"] == ["DOWN"]
    # With l2population nobody finds the VM any more, until something else changes of its port.
    assert len(told["measured"]["flows"]) == 4
    assert all("at least" in fate for fate in told["measured"]["flows"].values())
    assert told["measured"]["active_after_another_update_s"] < 20
    assert "did not come back" in page.read_text(encoding="utf-8")


@pytest.mark.nightly
def test_a_fix_is_proven_on_the_user_s_own_tree(second: Lab, tmp_path: Path) -> None:
    mended = tree.sdist(FAULTY, tmp_path)
    for name, text in tree.SKIPS_MIGRATED.items():
        tree.replace(mended / name, text, "")
    before = container_ids(second.name)
    with Cloud(second, "tree") as cloud:
        guest = cloud.guest(cloud.network(cidr="10.17.0.0/24"), "stays", "compute-1")
        second.fakevm.ok("up", "--name", second.name, "--neutron-src", str(mended))
        # Hosts and VMs are as they were.
        now = container_ids(second.name)
        assert {name for name in now if now[name] != before[name]} == {"neutron-api"}
        guest.exec("true")
    result = play(second, "stays-down", "--tries", "1")
    assert result.exit_code == SOUND, f"{result}"

    tree.say(mended, EDITED)
    second.fakevm.ok("restart", "--only", "l2-agent")
    for host in second.hosts().values():
        wait_until("its words", lambda host=host: EDITED in docker_logs(host.container))  # type: ignore[misc]
    (mended / tree.AGENT).write_text("if:\n", encoding="utf-8")
    assert f"{tree.AGENT}:1: SyntaxError" in second.fakevm.fails(2, "restart")


@pytest.mark.nightly
def test_a_package_from_the_index_and_a_host_that_is_not_upgraded_yet(second: Lab) -> None:
    plugins = ("--no-neutron-src", "--service-plugins", "router,qos,trunk,bgp")
    up = ("up", "--name", second.name, *plugins)
    # The package that has it is not there yet; what ran before does so still.
    assert "names bgp, which nothing" in second.fakevm.fails(2, *up)
    assert second.fakevm.json("status")
    package = ("--package", f"neutron-dynamic-routing=={FAULTY}")
    second.fakevm.ok(*up, *package, "--host-neutron", f"compute-2={releases.DEFAULT}")
    speaker = ("bgp", "speaker", "create", "--local-as", "65000", "--ip-version", "4", "ours")
    second.fakevm.ok("openstack", *speaker)
    assert "ours" in second.fakevm.ok("openstack", "bgp", "speaker", "list")

    rows = {row["host"]: row["details"] for row in second.fakevm.json("status")["hosts"]}
    assert rows["compute-1"]["neutron"] == rows["network-1"]["neutron"] == FAULTY
    assert rows["compute-2"]["neutron"] == releases.DEFAULT
    # The package is of the lab's release.
    has_it = "import importlib.util as it; print(bool(it.find_spec('neutron_dynamic_routing')))"
    hosts = second.hosts()
    assert hosts["compute-1"].run("python", "-c", has_it).strip() == "True"
    assert hosts["compute-2"].run("python", "-c", has_it).strip() == "False"
    with Cloud(second, "mixed") as cloud:
        network = cloud.network(cidr="10.18.0.0/24")
        a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-2"})
        a.ping(b.ip)


@pytest.mark.nightly
def test_a_plug_in_brings_its_own_agent_and_its_own_way_to_plug(
    second: Lab, tmp_path: Path
) -> None:
    shutil.copytree(plain.ROOT / "examples", tmp_path / "examples")
    fakevm = replace(second.fakevm, cwd=tmp_path)
    # As the lab was before, but for the package.
    before = (
        *("--name", second.name, "--host-neutron", "compute-2=default"),
        *("--firewall", "openvswitch", "--service-plugins", "default"),
    )
    up, *commands = _commands(plain.ROOT / "docs/plugins.md")
    refused = fakevm.fails(2, *up, *before, "--l2-agent", "lane-agnt")
    assert "lane-agnt is no program that is installed" in refused
    fakevm.ok(*up, *before)
    status = second.fakevm.json("status")
    given = {"neutron": FAULTY, "l2-agent": "lane-agent", "l2population": "false"}
    assert status["runs"].items() >= given.items()
    assert status["runs"]["package"] == str(tmp_path / "examples/plugin")
    hosts = {row["host"]: row for row in status["hosts"]}
    assert {host: row["l2_agent"] for host, row in hosts.items()} == dict.fromkeys(hosts, "alive")
    binaries = {(agent.host, agent.binary) for agent in second.sdk.network.agents()}
    assert ("compute-1", "lane-agent") in binaries

    said = [fakevm.ok(*command) for command in commands]
    assert "lost its network for" in said[-1]
    rows = {row["name"]: row for row in second.fakevm.json("list")}
    assert {row["host"] for row in rows.values()} == {"compute-2"}
    assert {row["differs"] for row in rows.values()} == {""}
    # By network-1's DHCP agent, through Open vSwitch.
    assert all(row["addresses"] for row in rows.values())
    host = second.host("compute-2")
    bridge = f"lane{rows['a']['network_id']}"[:15]
    ports = {
        port["ifname"]
        for port in json.loads(host.run("ip", "-j", "link", "show", "master", bridge))
    }
    assert {row["device"] for row in rows.values()} < ports
    assert not ports & host.interfaces().keys()

    # One that ends as soon as it starts is told with its last words.
    agent, begin = tmp_path / "examples/plugin/neutron_lane/agent.py", "import oslo_messaging\n"
    tree.replace(agent, begin, f"sys.exit({EDITED!r})\n{begin}")
    failed = second.fakevm.fails(1, "restart", "--only", "l2-agent", "compute-1")
    assert "compute-1: l2-agent ends again and again" in failed
    assert f"l2-agent: {EDITED}" in failed
    tree.replace(agent, f"sys.exit({EDITED!r})\n", "")

    # An edit of what runs in fakevm-agent; the VMs stay.
    driver = tmp_path / "examples/plugin/neutron_lane/vif.py"
    tree.replace(driver, "name = bridge_name(vif.network_id)\n", f"raise KeyError({EDITED!r})\n")
    second.fakevm.ok("restart", "--only", "l2-agent")
    failed = second.fakevm.fails(1, "create-port", "lane", "three", "--host", "compute-1")
    assert f"VIF driver lane: plug failed: KeyError: '{EDITED}'" in failed
    assert {row["name"] for row in second.fakevm.json("list")} == {"a", "b"}
    second.fakevm.ok(
        "exec", "a", "--", "ping", "-c", "3", "-W", "2", rows["b"]["fixed_ips"][0]["ip_address"]
    )


@pytest.mark.nightly
def test_the_end_of_a_lab_is_no_other_s(lab: Lab, second: Lab) -> None:
    before, networks = container_ids(lab.name), plain.subnets(lab.name)
    removed = second.fakevm.json("down", "--name", second.name)
    assert container_ids(lab.name) == before
    assert plain.subnets(lab.name) == networks
    assert plain.leftovers(second.name) == removed["kept_networks"] == []


@pytest.mark.nightly
def test_compose_alone_makes_a_whole_lab_and_takes_it_away(lab_name: str) -> None:
    by_compose = Lab(f"{lab_name}-plain")
    env = plain.environment(by_compose.name)
    try:
        plain.run("docker", "compose", "up", "-d", "--wait", env=env)
        ids = container_ids(by_compose.name)
        with Cloud(by_compose, "plain") as cloud:
            network = cloud.network(cidr="10.15.0.0/24")
            a, b = cloud.guests(network, {"a": "compute-1", "b": "compute-3"})
            a.ping(b.ip)
            # `fakevm up` finds the lab as it would have made it.
            by_compose.fakevm.ok("up", "--name", by_compose.name, "--computes", "3")
            assert container_ids(by_compose.name) == ids
            a.ping(b.ip)
    finally:
        by_compose.save_logs(LOGS / by_compose.name)
        # One by one: Docker before 28.1 may miscount a network's containers otherwise.
        for service in sorted(container_ids(by_compose.name)):
            plain.run("docker", "compose", "rm", "--stop", "--force", service, env=env)
        plain.run("docker", "compose", "down", "-v", env=env)
    assert plain.leftovers(by_compose.name) == []


def _commands(page: Path) -> list[list[str]]:
    """Return the arguments of `fakevm` in the commands that a page shows."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return [shlex.split(line)[2:] for line in lines if line.startswith("$ fakevm ")]
