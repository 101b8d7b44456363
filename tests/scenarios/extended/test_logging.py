"""fullstack test_logging: what security groups let pass, and what not, is logged."""

import time

import pytest

from fakevm import Cloud
from fakevm.logs.lines import Wanted


@pytest.mark.fakevm(backend="ovs")
def test_what_is_let_pass_and_what_is_dropped(cloud: Cloud) -> None:
    began = time.time()
    net = cloud.network("net", subnets=["10.0.0.0/24"])
    group = cloud.security_group("web", rules=["ingress icmp"])
    web, client = cloud.vms("web", "client", networks=[net], security_groups=[group])
    log = {"name": cloud.name("log"), "resource_type": "security_group", "resource_id": group.id}
    cloud.lab.openstack.network.post("/log/logs", json={"log": log}).raise_for_status()

    def logged(words: str) -> list[str]:
        wanted = Wanted(names=[web.host], process="l2-agent", since=began)
        lines = [line.text for some in cloud.lab.logs(wanted) for line in some]
        return [line for line in lines if words in line and web.addresses[0] in line]

    def pinged() -> list[str]:
        client.ping(web)
        return logged("action=ACCEPT")

    def refused() -> list[str]:
        client.assert_cannot_reach(web, port=22)
        return logged("action=DROP")

    cloud.lab.wait_for("a ping is logged", pinged)
    assert "22" in cloud.lab.wait_for("what is dropped is logged", refused)[-1]
