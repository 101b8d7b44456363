"""A migration that fails, is refused, or is killed: the VM is wholly somewhere, and works."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.cloud import Cloud, Guest, places
from tests.integration.lab import Lab
from tests.integration.nightly import by_night
from tests.integration.traffic import Ping, gaps, is_felt
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def guests(lab: Lab) -> Iterator[tuple[Guest, Guest]]:
    """A VM that looks on, and one that is to migrate between compute-2 and compute-3."""
    with Cloud(lab, "failures") as cloud:
        network = cloud.network(cidr="10.72.0.0/24")
        # What a test that failed has left of a VM is none of the next one's.
        hosts = {f"{cloud.prefix}-a": "compute-1", f"{cloud.prefix}-b": "compute-2"}
        a, b = cloud.guests(network, hosts)
        yield a, b


def start_until(lab: Lab, step: str, *args: str) -> subprocess.Popen[str]:
    """Start a migration that stands still before a step, and wait until it is there."""
    process = lab.fakevm.start("migrate", "--delay", f"{step}=100", *args)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith(f"{step} ("):
            return process
    raise AssertionError(f"it ended: {said}")


@pytest.mark.parametrize(
    "step", [*by_night("bind", "register", "plug", "announce", "wait"), "pause"]
)
def test_a_failure_before_the_pause_is_not_felt(
    lab: Lab, guests: tuple[Guest, Guest], step: str
) -> None:
    a, b = guests
    here, there = places(lab, b)
    with Ping(a.host, a.instance_id, b.ip) as ping:
        error = lab.fakevm.fails(1, "migrate", "--fail-at", step, there, b.port_id)
        assert f"'{step}'" in error
        ping.wait_for_replies(5)
        lost = ping.stop()
    assert not is_felt(lost), lost
    b.assert_wholly_on(here)


def test_a_failure_to_activate_lets_the_vm_run_where_it_was(
    lab: Lab, guests: tuple[Guest, Guest]
) -> None:
    a, b = guests
    here, there = places(lab, b)
    b.exec("ip", "address", "add", "192.0.2.7/24", "dev", "eth0")
    with Ping(a.host, a.instance_id, b.ip) as ping:
        lab.fakevm.fails(1, "migrate", "--fail-at", "activate", there, b.port_id)
        ping.wait_for_replies(5)
        lost = ping.stop()
    assert len(gaps(lost)) <= 1, lost
    b.assert_wholly_on(here)
    assert lab.host(here).addresses(b.instance_id) == {f"{b.ip}/24", "192.0.2.7/24"}


@pytest.mark.parametrize("step", [*by_night("resume", "unbind"), "unplug"])
def test_a_failure_after_activation_goes_forward(
    lab: Lab, guests: tuple[Guest, Guest], step: str
) -> None:
    a, b = guests
    _, there = places(lab, b)
    error = lab.fakevm.fails(1, "migrate", "--fail-at", step, there, b.port_id)
    assert there in error
    lab.fakevm.ok("migrate", "--abort", b.port_id)
    b.assert_wholly_on(there)
    a.ping(b.ip)


@pytest.mark.parametrize("step", [*by_night("wait", "activate"), "resume"])
def test_what_a_killed_migration_left_is_named_and_mended(
    lab: Lab, guests: tuple[Guest, Guest], step: str
) -> None:
    a, b = guests
    here, there = places(lab, b)
    process = start_until(lab, step, there, b.port_id)
    process.kill()
    process.communicate(timeout=30)

    mend = f"fakevm migrate --abort {b.port_id}"
    assert mend in lab.fakevm.json("show", b.port_id)["differs"]
    assert mend in lab.fakevm.fails(4, "migrate", there, b.port_id)
    lab.fakevm.ok("migrate", "--abort", b.port_id)
    b.assert_wholly_on(there if step == "resume" else here)
    a.ping(b.ip)
    differs = lab.fakevm.json("show", b.port_id)["differs"]
    # ML2/OVN leaves the port DOWN: scenario Q.
    assert not differs or (lab.backend == "ovn" and differs == "plugged, but the port is DOWN")
    # Nothing is left to do.
    assert lab.fakevm.json("migrate", "--abort", b.port_id) == []


@pytest.mark.nightly
def test_a_vm_that_was_killed_between_its_nics_ends_on_one_host(lab: Lab, cloud: Cloud) -> None:
    networks = [cloud.network(cidr=f"10.72.{number}.0/24") for number in (2, 3)]
    looks = [cloud.guest(network, "looks on", "compute-1") for network in networks]
    nics = [cloud.guest(network, "moves", "compute-2") for network in networks]
    process = start_until(lab, "activate", "compute-3", nics[0].port_id)
    process.kill()
    process.communicate(timeout=30)
    activate = f"/ports/{nics[0].port_id}/bindings/compute-3/activate"
    assert lab.sdk.network.put(activate).status_code == 200
    assert "--abort" in lab.fakevm.fails(4, "reboot", nics[0].instance_id)

    lab.fakevm.ok("migrate", "--abort", nics[1].port_id)
    for one, other in zip(looks, nics, strict=True):
        other.assert_wholly_on("compute-2")
        one.ping(other.ip)
    # They are its own as before.
    lab.fakevm.ok("delete-vm", nics[0].instance_id)
    assert all(lab.sdk.network.find_port(nic.port_id) is None for nic in nics)


@pytest.mark.nightly
def test_a_vm_whose_cold_migration_was_killed_boots_where_it_is_bound(
    lab: Lab, guests: tuple[Guest, Guest]
) -> None:
    a, b = guests
    here, there = places(lab, b)
    process = start_until(lab, "bind", "--cold", there, b.port_id)
    process.kill()
    process.communicate(timeout=30)

    assert f"not plugged on {here}" in lab.fakevm.json("show", b.port_id)["differs"]
    assert "fakevm plug" in lab.fakevm.fails(4, "migrate", there, b.port_id)
    lab.fakevm.ok("migrate", "--abort", b.port_id)
    b.assert_wholly_on(here)
    a.ping(b.ip)


@pytest.mark.nightly
def test_ctrl_c_during_the_wait_is_not_felt(lab: Lab, guests: tuple[Guest, Guest]) -> None:
    a, b = guests
    here, there = places(lab, b)
    with Ping(a.host, a.instance_id, b.ip) as ping:
        process = start_until(lab, "wait", there, b.port_id)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        assert "Traceback" not in stderr
        ping.wait_for_replies(5)
        lost = ping.stop()
    assert not is_felt(lost), lost
    b.assert_wholly_on(here)


def test_what_cannot_migrate_is_refused_unchanged(
    lab: Lab, cloud: Cloud, guests: tuple[Guest, Guest]
) -> None:
    _, b = guests
    here, there = places(lab, b)
    unbound = lab.sdk.network.create_port(network_id=cloud.network(cidr="10.72.1.0/24"))
    assert "fakevm plug" in lab.fakevm.fails(4, "migrate", there, unbound.id)
    assert "compute-1" in lab.fakevm.fails(3, "migrate", "compute-9", b.port_id)
    assert here in lab.fakevm.fails(4, "migrate", here, b.port_id)
    assert "--dry-run" not in lab.fakevm.fails(2, "migrate", "--fail-at", "nap", there, b.port_id)
    assert "post-copy" in lab.fakevm.fails(2, "migrate", "--cold", "--post-copy", there, b.port_id)
    b.assert_wholly_on(here)

    # Somebody else's binding.
    binding = {"binding": {"host": there}}
    answer = lab.sdk.network.post(f"/ports/{b.port_id}/bindings", json=binding)
    assert answer.status_code == 201
    before = lab.sdk.network.get_port(b.port_id)
    assert "--abort" in lab.fakevm.fails(4, "migrate", there, b.port_id)
    assert lab.sdk.network.get_port(b.port_id) == before
    assert lab.hosts_with(b.port_id) == [here]
    lab.fakevm.ok("migrate", "--abort", b.port_id)
    b.assert_wholly_on(here)


def test_a_vm_that_is_being_migrated_is_not_migrated_twice(
    lab: Lab, guests: tuple[Guest, Guest]
) -> None:
    a, b = guests
    _, there = places(lab, b)
    first = lab.fakevm.start("migrate", "--delay", "pause=5", there, b.port_id)
    destination = lab.host(there)
    wait_until("the plug", lambda: b.port_id in destination.interfaces())
    for command in (("migrate", "compute-1", b.port_id), ("migrate", "--abort", b.port_id)):
        assert "is being migrated" in lab.fakevm.fails(4, *command)
    _, stderr = first.communicate(timeout=60)
    assert first.returncode == 0, stderr
    b.assert_wholly_on(there)
    a.ping(b.ip)
