"""What Neutron tells Nova, as `fakevm events` shows it, and as Nova's API answers it."""

from __future__ import annotations

import json
import re
import select
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import pytest

from tests.integration.cloud import Cloud
from tests.integration.hosts import container_ids, docker, inspect
from tests.integration.lab import Lab
from tests.waiting import wait_until

TIMEOUT_S = 60


def shown(lab: Lab, *args: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lab.fakevm.ok("events", "-f", "json", *args).splitlines()]


def last_cursor(lab: Lab) -> str:
    """Return the last entry's cursor; it may be nobody's of this test."""
    entries = shown(lab)
    return str(entries[-1]["seq"]) if entries else "0"


def wait_for(lab: Lab, port_id: str, name: str, *, after: str) -> dict[str, Any]:
    def seen() -> dict[str, Any] | None:
        entries = shown(lab, "--since", after)
        return next((e for e in entries if (e["name"], e["port_id"]) == (name, port_id)), None)

    found = wait_until(f"{name} for {port_id}", seen, timeout_s=TIMEOUT_S)
    assert found is not None
    return found


@contextmanager
def following(lab: Lab, *args: str) -> Iterator[subprocess.Popen[str]]:
    process = lab.fakevm.start("events", "--follow", "-f", "json", *args)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def line_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], TIMEOUT_S)
    assert ready, "nothing was printed"
    return dict(json.loads(process.stdout.readline()))


def test_a_port_s_life_is_told(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.14.0.0/24")
    start = last_cursor(lab)
    a = cloud.guest(network, "a", "compute-1")
    plugged = wait_for(lab, a.port_id, "network-vif-plugged", after=start)
    assert plugged["kind"] == "event"
    assert plugged["instance_id"] == a.instance_id
    # Whom the L2 agent tells, or who sees OVN's databases change.
    teller = {"ovs": "neutron-rpc", "ovn": "neutron-api"}[lab.backend]
    assert (plugged["status"], plugged["source"]) == ("completed", teller)
    # The boot waited for it.
    assert plugged["code"] == 200

    lab.sdk.network.update_port(a.port_id, name="renamed")
    changed = wait_for(lab, a.port_id, "network-changed", after=start)
    assert changed["source"] == "neutron-api"
    # Neutron sends none; it counts as completed.
    assert changed["status"] == "completed"

    lab.fakevm.ok("delete-port", a.port_id)
    wait_for(lab, a.port_id, "network-vif-deleted", after=start)
    entries = [e for e in shown(lab, "--since", start) if e["port_id"] == a.port_id]
    assert [e["seq"] for e in entries] == sorted(e["seq"] for e in entries)
    assert [e["time"] for e in entries] == sorted(e["time"] for e in entries)
    assert entries == [e for e in entries if e["instance_id"] == a.instance_id]
    # It is gone, and its events are still found by it, among the steps of its VM.
    found = shown(lab, "--vif", a.port_id)
    assert [e for e in found if e["port_id"]] == entries
    assert {e["instance_id"] for e in found} == {a.instance_id}
    assert {e["kind"] for e in found} == {"event", "step"}
    head, *lines = lab.fakevm.ok("events", "--vif", a.port_id[:8]).splitlines()
    assert head.split() == ["TIME", "SOURCE", "WHAT", "STATUS", "ANSWER", "PORT", "VM"]
    assert [line.split()[2] for line in lines] == [e["name"].split()[0] for e in found]
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3}  \S", line) for line in lines)


def test_the_api_answers_as_nova_s(lab: Lab) -> None:
    unknown = {"server_uuid": str(uuid.uuid4()), "name": "network-changed", "tag": "x"}
    status, answer = post(lab, {"events": [unknown]})
    assert status == 207
    assert answer == {"events": [{**unknown, "status": "failed", "code": 404}]}
    status, answer = post(lab, {"events": [{**unknown, "name": "no-such-event"}]})
    assert (status, list(answer)) == (400, ["badRequest"])
    assert "'no-such-event' is not one of" in answer["badRequest"]["message"]


def test_following_and_cursors_live_through_a_restart(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.14.1.0/24")
    a = cloud.guest(network, "a", "compute-1")
    wait_until("the event", lambda: shown(lab, "--vif", a.port_id), timeout_s=TIMEOUT_S)
    cursor = last_cursor(lab)
    with following(lab, "--since", str(int(cursor) - 1)) as follower:
        assert line_of(follower)["seq"] == int(cursor)
        docker("restart", container_ids(lab.name)["nova-events"])
        lab.sdk.network.update_port(a.port_id, name="renamed")
        while (entry := line_of(follower))["port_id"] != a.port_id:
            pass
        assert entry["name"] == "network-changed"
        assert entry["seq"] > int(cursor)
        assert entry in shown(lab, "--since", cursor)
        follower.send_signal(signal.SIGINT)
        assert follower.wait(TIMEOUT_S) == 130
    lab.wait_until_healthy("nova-events")


@pytest.mark.nightly
def test_a_pipe_that_is_closed_ends_following_quietly(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.14.2.0/24")
    a = cloud.guest(network, "a", "compute-1")
    wait_until("the event", lambda: shown(lab, "--vif", a.port_id), timeout_s=TIMEOUT_S)
    with following(lab) as follower:
        line_of(follower)
        assert follower.stdout is not None
        assert follower.stderr is not None
        follower.stdout.close()
        follower.wait(TIMEOUT_S)
        assert follower.stderr.read() == ""


def test_the_service_is_small_and_has_no_privilege(lab: Lab) -> None:
    (found,) = inspect([container_ids(lab.name)["nova-events"]])
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert list(found["NetworkSettings"]["Networks"]) == [f"fakevm-{lab.name}_management"]
    status = docker("exec", found["Id"], "cat", "/proc/1/status")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert fields["Uid"].split() == ["65534"] * 4
    assert int(fields["VmRSS"].split()[0]) < 40_000


def post(lab: Lab, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Send a request as Neutron would."""
    out = lab.host("compute-1").run(
        *("curl", "-sS", "-m", "10", "-w", r"\n%{http_code}"),
        *("-H", "Content-Type: application/json", "-H", "X-OpenStack-Nova-API-Version: 2.1"),
        *("-d", json.dumps(body)),
        "http://nova-events:18774/v2.1/os-server-external-events",
    )
    answer, _, status = out.rpartition("\n")
    return int(status), json.loads(answer)


@pytest.fixture
def answering(lab: Lab) -> Iterator[None]:
    """Nova-events answers as Nova does, in a container of its own: it knows no server yet."""
    lab.fakevm.ok("up", "--name", lab.name, "--answer-as-nova")
    yield
    lab.fakevm.ok("up", "--name", lab.name, "--no-answer-as-nova")


@pytest.mark.nightly
@pytest.mark.usefixtures("answering")
def test_a_change_makes_nova_events_read_what_nova_reads(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.79.0.0/24")
    (guest,) = cloud.guests(network, {"read": "compute-1"})
    # What is done with a server makes it known.
    lab.fakevm.ok("reboot", guest.instance_id)
    with requests_to_neutron(lab) as lines:
        after = last_cursor(lab)
        lab.sdk.network.update_port(guest.port_id, description="changed")
        wait_for(lab, guest.port_id, "network-changed", after=after)
        wanted = f"fixed_ip_address={guest.ip}&port_id={guest.port_id}"
        asked = wait_until("what Nova reads", lambda: reads(lines, wanted))
    first = asked.index(f"floatingips?{wanted}")
    assert asked[first - 2].startswith("ports?tenant_id=fake_project_id&device_id=")
    assert asked[first - 1] == f"networks?id={network}"
    assert asked[first + 1].startswith("subnets?id=")
    assert asked[-1].startswith(f"networks/{network}?fields=provider")


def reads(lines: list[str], wanted: str) -> list[str]:
    """Return what was asked for, once the last one of Nova's reads is there."""
    asked = [unquote(line.partition("/v2.0/")[2].partition(" ")[0]) for line in lines]
    at = next((n for n, one in enumerate(asked) if wanted in one), None)
    ends = [] if at is None else [n for n, one in enumerate(asked) if n > at and "physical" in one]
    return asked[: ends[0] + 1] if ends else []


@contextmanager
def requests_to_neutron(lab: Lab) -> Iterator[list[str]]:
    """Give the request lines that nova-events sends to Neutron's API, as they are sent."""
    sender = container_ids(lab.name)["nova-events"]
    (host,) = inspect([container_ids(lab.name)["compute-1"]])
    argv = (
        *("docker", "run", "--rm", "--interactive", "--network", f"container:{sender}"),
        *("--cap-add", "NET_RAW", "--entrypoint", "tcpdump", host["Config"]["Image"]),
        # In KiB: the default loses packets where a sniffer waits long for its turn.
        *("-l", "-A", "-s", "600", "-B", "16384", "-i", "any", "tcp dst port 9696"),
    )
    sniffer = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines: list[str] = []

    def read() -> None:
        assert sniffer.stdout is not None
        for line in sniffer.stdout:
            if "GET /v2.0/" in line:
                lines.append(line[line.index("GET /v2.0/") :])
                # For the report, if the test fails.
                print(lines[-1], end="")

    assert sniffer.stderr is not None
    # It listens from here on.
    assert any("listening on" in line for line in iter(sniffer.stderr.readline, ""))
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        sniffer.terminate()
        sniffer.wait(TIMEOUT_S)
        thread.join(TIMEOUT_S)
