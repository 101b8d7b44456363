"""A lab whose Keystone says who asks Neutron."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from openstack.exceptions import ForbiddenException

from fakevm.lab import Lab as Library
from fakevm.vms.requests import PortRequest
from tests.integration.cloud import Cloud, guest_of
from tests.integration.conftest import LOGS
from tests.integration.hosts import container_ids, docker
from tests.integration.lab import Lab, docker_logs
from tests.waiting import wait_until

pytestmark = pytest.mark.nightly

# keystoneauth uses no token that has less than two minutes left.
LIFETIME_S = 4
KEYSTONE_CONF = f"[token]\nexpiration = {120 + LIFETIME_S}\n"


@pytest.fixture(scope="module")
def secured(lab_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    config = tmp_path_factory.mktemp("config")
    (config / "keystone.conf").write_text(KEYSTONE_CONF, encoding="utf-8")
    secured = Lab(f"{lab_name}-keystone")
    command = ("up", "--name", secured.name, "--computes", "2", "--auth", "keystone")
    try:
        secured.fakevm.ok(*command, "--config", str(config))
        yield secured
    finally:
        secured.save_logs(LOGS / secured.name)
        secured.fakevm.ok("down", "--name", secured.name)


def test_a_project_sees_what_is_its_own(secured: Lab) -> None:
    admin, member, reader = (secured.sdk_of(user).network for user in ("admin", "member", "reader"))
    with Cloud(secured, "admins") as cloud:
        guest = cloud.guest(cloud.network(cidr="10.30.0.0/24"), "a", "compute-1")
        network = member.create_network(name="members")
        member.create_subnet(network_id=network.id, cidr="10.31.0.0/24", ip_version=4)
        command = ("create-port", "--project", "demo", "--host", "compute-2", "members", "m")
        made = secured.fakevm.json(*command)
        assert made["status"] == "ACTIVE"
        assert made["project_id"] == secured.sdk_of("member").current_project_id
        for client in (member, reader):
            seen = {port.id for port in client.ports() if port.device_owner == "compute:nova"}
            assert seen == {made["port_id"]}
            assert client.find_network(admin.get_port(guest.port_id).network_id) is None
        with pytest.raises(ForbiddenException):
            reader.create_network(name="refused")
        # The client inside the lab is admin, or whoever is named.
        for options, expected in (((), 2), (("--os-cloud", "member"), 1)):
            ports = secured.fakevm.ok("openstack", *options, "port", "list", "-f", "json")
            ids = {row["ID"] for row in json.loads(ports)}
            assert len(ids & {guest.port_id, made["port_id"]}) == expected

        # The VM's and the DHCP agent's.
        admin.update_quota(made["project_id"], port=2)
        refused = secured.fakevm.fails(4, *command)
        assert "Quota exceeded" in refused
        secured.fakevm.ok("delete-port", made["port_id"])
        member.delete_network(network)


def test_its_configuration_is_shown_as_neutron_s(secured: Lab) -> None:
    rows = json.loads(secured.fakevm.ok("config", "show", "-f", "json", "keystone"))
    (expiration,) = (row for row in rows if row["option"] == "expiration")
    assert (expiration["process"], expiration["value"]) == ("keystone", str(120 + LIFETIME_S))
    assert expiration["file"].endswith("/keystone.conf")


def test_tokens_expire_and_nothing_is_felt(secured: Lab) -> None:
    keystone = container_ids(secured.name)["keystone"]

    def tokens() -> int:
        return docker_logs(keystone).count("POST /v3/auth/tokens")

    with Cloud(secured, "expiring") as cloud, Library(secured.name) as library:
        network, before = cloud.network(cidr="10.32.0.0/24"), tokens()
        for number in range(4):
            request = PortRequest(network=network, instance=f"vm-{number}", addressing="static")
            library.delete_port(library.create_port(request).row.port_id)
            time.sleep(LIFETIME_S / 2)
        assert tokens() >= before + 2
    secured.wait_until_healthy()


def test_a_host_that_comes_back_asks_neutron_as_nova(secured: Lab) -> None:
    with Cloud(secured, "back") as cloud:
        guest = cloud.guest(cloud.network(cidr="10.33.0.0/24"), "back", "compute-1")
        docker("restart", guest.host.container)
        secured.wait_until_healthy("compute-1")
        wait_until("its VM", lambda: guest.instance_id in guest.host.vm_names())
        assert "does not answer" not in docker_logs(guest.host.container)


def test_a_keystone_that_is_away_is_named(secured: Lab) -> None:
    keystone = container_ids(secured.name)["keystone"]
    with Cloud(secured, "away") as cloud:
        network = cloud.network(cidr="10.34.0.0/24")
        # Of another domain, whose names are no matter of ours.
        secured.fakevm.ok("openstack", "domain", "create", cloud.prefix)
        secured.fakevm.ok("openstack", "project", "create", "--domain", cloud.prefix, "demo")
        docker("kill", keystone)
        refused = secured.fakevm.fails(5, "create-port", "--address", "static", network, "late")
        assert "keystone" in refused
        docker("start", keystone)
        secured.wait_until_healthy("keystone")
        guest = guest_of(
            secured,
            secured.fakevm.json("create-port", "--address", "static", network, "late"),
        )
        guest.exec("true")
