"""Who reaches whom, commands in many VMs, and what is broken on purpose."""

from __future__ import annotations

import json
import signal

import pytest

from tests.integration.cloud import Cloud
from tests.integration.lab import Lab
from tests.waiting import wait_until


def seen(
    lab: Lab, *vms: str, exit_code: int = 0
) -> dict[tuple[str, str], tuple[bool, bool | None]]:
    """Return whether an answer came and should come, by the names of two VMs."""
    result = lab.fakevm.run("ping", "-f", "json", *vms)
    assert result.exit_code == exit_code, f"{result}"
    return {
        (pair["source"], pair["target"]): (pair["answered"], pair["expected"])
        for pair in json.loads(result.stdout)["pairs"]
    }


def test_what_answers_is_what_neutron_s_objects_say(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.70.0.0/24")
    far = cloud.network(cidr="10.71.0.0/24", name="far")
    one = cloud.guest(network, "one", "compute-1")
    two = cloud.guest(network, "two", "compute-2")
    three = cloud.guest(network, "three", "compute-3", group=cloud.security_group())
    four = cloud.guest(far, "four", "compute-1")
    vms = [guest.port_id for guest in (one, two, three, four)]
    wait_until("all is wired", lambda: lab.fakevm.run("ping", *vms).exit_code == 0)
    pairs = seen(lab, *vms)
    assert pairs["one", "two"] == pairs["two", "one"] == pairs["three", "one"] == (True, True)
    # Its security group lets nothing in.
    assert pairs["one", "three"] == pairs["two", "three"] == (False, False)
    assert pairs["one", "four"] == pairs["four", "one"] == (False, False)

    cut = lab.fakevm.run("cut", "compute-1", "compute-2")
    try:
        assert "cut --undo --network underlay compute-1 compute-2" in cut.stderr
        assert seen(lab, *vms, exit_code=1) == pairs | {
            ("one", "two"): (False, True),
            ("two", "one"): (False, True),
        }
        assert "cut underlay compute-2" in lab.fakevm.ok("status")
    finally:
        lab.fakevm.ok("cut", "--undo", "compute-1", "compute-2")
    wait_until("the link is there", lambda: lab.fakevm.run("ping", *vms).exit_code == 0)
    told = [line.split()[2:6] for line in lab.fakevm.ok("events").splitlines() if " cut " in line]
    assert told[-2:] == [["cut", "compute-1", "compute-2", "underlay"]] * 2


@pytest.mark.nightly
@pytest.mark.ovs
def test_what_neutron_s_objects_do_not_tell_is_not_judged(lab: Lab, cloud: Cloud) -> None:
    network, far = cloud.network(), cloud.network(cidr="10.74.2.0/24", name="far")
    ips = ("10.74.0.9", "10.74.1.9")
    for ip in ips:
        cloud.subnet(network, f"{ip[:-1]}0/24")
    # DHCP tells each of the other's subnet; it need not.
    one, two = (
        cloud.guest(network, name, "compute-1", addressing="dhcp", fixed_ips=(ip,))
        for name, ip in zip(("told-1", "told-2"), ips, strict=True)
    )
    other = cloud.guest(far, "other", "compute-2")
    parent, inside = cloud.port(network), cloud.port(far)
    cloud.trunk(parent.id, {inside.id: 7})
    trunk = cloud.attached(parent.id, "trunk", "compute-1")
    vms = [guest.port_id for guest in (one, two, other, trunk)]
    wait_until("all is wired", lambda: seen(lab, *vms)["told-1", "told-2"] == (True, None))
    pairs = seen(lab, *vms)
    assert pairs["told-2", "told-1"] == (True, None)
    assert pairs["trunk", "other"] == (False, None)
    assert pairs["other", "trunk"] == pairs["told-1", "other"] == (False, False)


def test_a_command_runs_in_many_vms_at_once(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.72.0.0/24")
    cloud.guests(network, {f"many-{number}": f"compute-{number}" for number in (1, 2, 3)})
    said = lab.fakevm.ok("exec", "--on", "many-*", "--", "hostname")
    assert said.splitlines() == [f"many-{number} | many-{number}" for number in (1, 2, 3)]
    assert lab.fakevm.ok("exec", "--on", f"network={network}", "--", "hostname") == said
    # By the VM's name, as by its port.
    assert lab.fakevm.ok("exec", "many-2", "hostname") == "many-2\n"
    everywhere = json.loads(lab.fakevm.ok("exec", "--all", "-f", "json", "--", "true"))
    assert {"many-1", "many-2", "many-3"} <= {one["vm_name"] for one in everywhere}
    argv = ("exec", "--on", "many-?", "--", "sh", "-c", "test $(hostname) = many-2")
    assert "it failed in 2 of 3 VMs" in lab.fakevm.fails(1, *argv)
    # Other tests' VMs may be there, too.
    here = lab.fakevm.ok("exec", "--on", "host=compute-1", "--", "hostname").split()
    assert "many-1" in here
    assert "many-2" not in here
    assert "means no VM" in lab.fakevm.fails(3, "exec", "--on", "nobody-*", "--", "true")


@pytest.mark.nightly
def test_a_process_that_was_stopped_stays_so_until_it_is_started(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.73.0.0/24")
    guest = cloud.guest(network, "here", "compute-3")
    lab.fakevm.ok("stop", "fakevm-agent@compute-3")
    try:
        assert "stop fakevm-agent" in lab.fakevm.ok("status")
        lab.fakevm.fails(5, "exec", guest.port_id, "true")
    finally:
        lab.fakevm.ok("start", "fakevm-agent@compute-3")
    wait_until("it answers", lambda: lab.fakevm.run("exec", guest.port_id, "true").exit_code == 0)
    assert "stop fakevm-agent" not in lab.fakevm.ok("status")


def test_a_host_that_was_cut_off_is_on_its_networks_again(lab: Lab) -> None:
    host = lab.host("compute-3")
    routes, links = host.run("ip", "route"), set(host.links())
    for network in ("management", "underlay", "provider"):
        lab.fakevm.ok("cut", "compute-3", "--network", network)
        assert f"cut {network}" in lab.fakevm.ok("status")
        lab.fakevm.ok("cut", "--undo", "compute-3", "--network", network)
    assert (host.run("ip", "route"), set(host.links())) == (routes, links)
    assert "cut " not in lab.fakevm.ok("status")
    lab.wait_until_alive("compute-3")


@pytest.mark.nightly
def test_a_service_that_was_killed_is_seen_to_end_and_started_again(lab: Lab) -> None:
    watching = lab.fakevm.start("status", "--watch")
    assert watching.stdout

    def seen() -> str:
        """Return the service's state, as the next look has it."""
        services = json.loads(watching.stdout.readline())["services"] if watching.stdout else []
        return str(next(one["state"] for one in services if one["service"] == "nova-events"))

    assert seen() == "healthy"
    lab.fakevm.ok("kill", "nova-events")
    try:
        wait_until("it is seen to have ended", lambda: seen() == "exited")
        assert "nova-events" in lab.fakevm.fails(5, "events")
        assert "is exited" in lab.fakevm.fails(4, "kill", "nova-events")
    finally:
        lab.fakevm.ok("start", "nova-events")
    wait_until("it is seen to be well", lambda: seen() == "healthy")
    watching.send_signal(signal.SIGINT)
    assert (watching.wait(30), watching.communicate()[1]) == (130, "interrupted\n")
    lab.fakevm.ok("events")
