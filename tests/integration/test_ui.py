"""The live page of a real lab, asked as its script asks."""

from __future__ import annotations

import signal
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.integration.cloud import Cloud, Guest
from tests.integration.lab import Lab
from tests.integration.page import ask
from tests.waiting import wait_until


def moved(url: str, guest: Guest) -> Any:
    """Move a VM to compute-3; return what the page has of it in the end."""
    ask(url, "/migrate", vm=guest.instance_id, host="compute-3")

    def ended() -> list[Any]:
        moves = ask(url, "/state")["moves"]
        mine = [one for one in moves if one["instance_id"] == guest.instance_id]
        return [one for one in mine if one["state"] != "running"]

    (move,) = wait_until("the migration", ended)
    assert move["state"] == "moved", move
    return move


@pytest.mark.nightly
def test_the_page_follows_the_lab_and_moves_a_vm(lab: Lab, cloud: Cloud) -> None:
    network = cloud.network(cidr="10.77.0.0/24")
    cloud.guest(network, "stays", "compute-1")
    goes = cloud.guest(network, "goes", "compute-2")
    process = lab.fakevm.start("ui")
    try:
        assert process.stdout
        url = process.stdout.readline().strip()
        with urlopen(url, timeout=60) as answer:
            assert b"<script" in answer.read()
        picture = wait_until("the picture", lambda: ask(url, "/state")["svg"])
        for word in ("stays", "goes", goes.ip, *lab.hosts()):
            assert f">{word}" in picture
        move = moved(url, goes)
        assert "unplug (source)" in move["steps"]
        assert "The VM lost" in move["verdict"]
        wait_until(
            "its new place",
            lambda: ask(url, "/state")["vms"][goes.instance_id]["host"] == "compute-3",
        )
        # It lets no probes in.
        shut = cloud.guest(network, "shut", "compute-2", group=cloud.security_group())
        wait_until("the VM", lambda: shut.instance_id in ask(url, "/state")["vms"])
        unprobed = moved(url, shut)
        assert unprobed["unprobed"].startswith("no packet came through within 5 s: ")
        assert "Nobody probed" in unprobed["verdict"]
        assert any(event["name"] == "network-vif-plugged" for event in ask(url, "/state")["events"])
    finally:
        process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    with pytest.raises(URLError):
        urlopen(url, timeout=5)
