"""A VM is paused, rebooted, rebuilt, shelved: what its peers see of it, and what Neutron hears."""

from __future__ import annotations

from tests.integration.cloud import Cloud
from tests.integration.lab import Lab
from tests.integration.test_events import last_cursor, shown


def events_of(lab: Lab, port_id: str, *, after: str) -> list[str]:
    """Return what Neutron told Nova of a port since then."""
    entries = shown(lab, "--vif", port_id, "--since", after)
    return [entry["name"] for entry in entries if entry["kind"] == "event"]


def test_a_vm_stops_goes_on_and_comes_back(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.78.0.0/24")
    web, peer = cloud.guests(network, {"web": "compute-1", "peer": "compute-2"})
    peer.ping(web.ip)

    # The network is as it was, and so is Neutron; only the guest is silent.
    after = last_cursor(lab)
    web.exec("sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $! >/run/pid")
    lab.fakevm.ok("pause", web.instance_id)
    peer.cannot_ping(web.ip)
    assert "is paused" in lab.fakevm.ok("show", web.port_id)
    lab.fakevm.ok("unpause", web.instance_id)
    peer.ping(web.ip)
    # It goes on with what ran in it, and with its addresses and routes.
    web.exec("sh", "-c", "kill -0 $(cat /run/pid)")
    assert "default" in web.exec("ip", "route")
    assert events_of(lab, web.port_id, after=after) == []

    # A boot: what ran is gone.
    lab.fakevm.ok("reboot", web.instance_id)
    peer.ping(web.ip)
    web.exec("test", "!", "-e", "/run/pid")

    rows = lab.fakevm.json("shelve", web.instance_id)
    assert [(row["host"], row["plugged_host"], row["status"]) for row in rows] == [("", "", "DOWN")]
    assert lab.hosts_with(web.port_id) == []
    rows = lab.fakevm.json("unshelve", "--host", "compute-3", web.instance_id)
    assert [(row["host"], row["differs"]) for row in rows] == [("compute-3", "")]
    peer.ping(web.ip)
    web.assert_wholly_on("compute-3")
