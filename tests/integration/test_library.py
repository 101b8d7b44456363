"""The library: its page's example, and what else a test does with objects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from fakevm import Lab as Library
from fakevm import UnreachedError
from fakevm.errors import ConflictError, NotFoundError, WaitTimeoutError
from fakevm.library.behind.words import SubportWords
from tests.integration.lab import COMPUTES, Lab

PAGE = Path(__file__).parents[2] / "docs" / "library.md"

# What is made here, in the order in which it can be removed.
VMS = ("web", "client", "library-web", "library-far", "library-client")
TRUNKS = ("library-uplink",)
ROUTERS = ("library-edge",)
GROUPS = ("web", "library-web")
POLICIES = ("library-slow",)
NETWORKS = ("blue", "library-near", "library-far", "library-outside")


@pytest.fixture
def library(lab: Lab) -> Iterator[Library]:
    with Library(lab.name) as library:
        try:
            yield library
        finally:
            for found, names in (
                (library.vms, VMS),
                (library.trunks, TRUNKS),
                (library.routers, ROUTERS),
                (library.security_groups, GROUPS),
                (library.qos_policies, POLICIES),
                (library.networks, NETWORKS),
            ):
                for name in names:
                    with suppress(NotFoundError):
                        found[name].delete()


@pytest.mark.nightly
def test_the_page_s_example_runs(
    lab: Lab, library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    mine = f'"{lab.name}", computes={len(COMPUTES)}'
    assert '"mine", computes=2' in shown
    try:
        exec(compile(shown.replace('"mine", computes=2', mine), str(PAGE), "exec"), {})
    except WaitTimeoutError as error:
        # Scenario Q: ML2/OVN may leave the port of a VM that has arrived DOWN.
        if lab.backend != "ovn" or "is DOWN" not in str(error):
            raise
    else:
        outcome, flows = capsys.readouterr().out.split(" ", 1)
        assert outcome == "moved"
        assert flows.count("from-vm") == flows.count("to-vm") == 2
    assert library.vms["web"].host == "compute-2"


@pytest.mark.nightly
def test_a_test_s_objects(lab: Lab, library: Library) -> None:
    near = library.network("library-near", subnets=["10.84.0.0/24"])
    far = library.network("library-far", subnets=["10.85.0.0/24"])
    group = library.security_group("library-web", rules=["ingress tcp 80", "ingress icmp"])
    outside = library.network(
        "library-outside",
        external=True,
        network_type="vlan",
        physical_network="physnet1",
        subnets=["172.24.5.0/24"],
    )
    router = library.router(
        "library-edge", external_gateway=outside, interfaces=[near, "library-far-v4"]
    )
    slow = library.qos_policy("library-slow", bandwidth_limit={"egress": {"max_kbps": 3000}})
    with ThreadPoolExecutor() as pool:
        vms = {"library-web": ("compute-1", near), "library-far": ("compute-2", far)}
        pair = [
            pool.submit(library.vm, name, on=host, networks=[net], security_groups=[group])
            for name, (host, net) in vms.items()
        ]
        client = library.vm("library-client", on="compute-2", networks=[near], qos_policy=slow)
    web, distant = (one.result() for one in pair)

    # Values are asked for; another tool sees the same.
    port = lab.sdk.network.get_port(web.port.id)
    assert (port.binding_host_id, port.name) == (web.host, "library-web-library-near")
    assert web.addresses[0] in web.exec("ip", "-br", "addr", check=True).stdout
    library.wait_for("the port is ACTIVE", lambda: web.port.status == "ACTIVE", timeout_s=30)
    assert {"network-vif-plugged"} <= {one.name for one in library.events.kept()}
    assert library.openstack.network.get_network(near.id).name == "library-near"

    # Who reaches whom, also across the router; and what an error tells.
    client.ping(web)
    web.ping(distant)
    client.assert_reaches(web, port=80)
    client.assert_cannot_reach(web, port=80, protocol="udp")
    with pytest.raises(UnreachedError) as caught:
        client.assert_reaches(web, port=22, within_s=2)
    assert re.fullmatch(
        r"VM library-client on compute-2 does not reach library-web on compute-1 \(10\.84\.0\.\d+\)"
        r" port 22 by tcp: 0 of \d were answered \(the last one: timed out\)",
        str(caught.value),
    )
    assert lab.fakevm.run(*caught.value.hint.split()[3:]).exit_code == 1
    much = "much " * 4_000_000
    assert client.exec("cat", stdin=much).stdout == much
    assert "LISTEN" not in web.exec("ss", "-Hltn", check=True).stdout

    # A group that changes is the same group, whose VM is reached then.
    rules = ["ingress tcp 80", "ingress icmp", "ingress udp 53"]
    assert library.security_group("library-web", rules=rules) == group
    client.assert_reaches(web, port=53, protocol="udp")
    assert library.vm("library-web", networks=[near], security_groups=[group]) == web

    # Tunnels that are cut for a while.
    with library.cut("compute-1", "compute-2"):
        client.assert_cannot_reach(web)
    client.assert_reaches(web, within_s=30)

    # A limit, an address outside, and a trunk of a VM that runs; another tool sees the same.
    library.wait_for("it is limited", lambda: limit(lab, client.port.id) == "3000")
    address = library.floating_ip(web, network=outside)
    distant.assert_reaches(address, port=80)
    nic = distant.port.id
    sub: SubportWords = {"network": near, "segmentation_id": 100}
    trunk = library.trunk("library-uplink", port=distant, sub_ports=[sub])
    assert lab.sdk.network.get_port(nic).trunk_details["trunk_id"] == trunk.id
    assert (distant.port.id, distant.host) == (nic, "compute-2")
    assert trunk.sub_ports[100].network_id == near.id
    library.wait_for("the trunk is ACTIVE", lambda: trunk.attributes["status"] == "ACTIVE")
    distant.ping(address)

    for used in (near, slow):
        with pytest.raises(ConflictError):
            used.delete()
    for one in (address, web, distant, trunk, client, router, slow, group, near, far, outside):
        one.delete()
    named = (*lab.sdk.network.networks(), *lab.sdk.network.ports())
    assert not [one for one in named if one.name.startswith("library-")]


def limit(lab: Lab, port_id: str) -> str:
    """Return what Open vSwitch, or OVN, lets a port of compute-2 send, in kbps."""
    if lab.backend == "ovn":
        which = f'external_ids:"neutron:port_id"={port_id}'
        query = ("--bare", "--columns=bandwidth", "find", "QoS", which)
        return lab.fakevm.ok("ovn", "nbctl", *query).strip().removeprefix("rate=")
    words = ("get", "Interface", f"tap{port_id}"[:14], "ingress_policing_rate")
    return lab.host("compute-2").run("ovs-vsctl", *words).strip()
