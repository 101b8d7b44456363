"""Evidence of a failure: what the first screen says, and what is in the files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fakevm import Evidence, UnreachedError
from fakevm import Lab as Library
from fakevm.errors import NotFoundError
from fakevm.evidence.values import pairs_in
from tests.integration.hosts import container_ids, inspect
from tests.integration.lab import Lab

# What a user sees without scrolling.
SCREEN = 15


@pytest.fixture
def library(lab: Lab) -> Iterator[Library]:
    with Library(lab.name) as library:
        try:
            yield library
        finally:
            for found, names in (
                (library.vms, ("evidence-web", "evidence-client")),
                (library.security_groups, ("evidence-web",)),
                (library.networks, ("evidence",)),
            ):
                for name in names:
                    with suppress(NotFoundError):
                        found[name].delete()


def passwords(lab: Lab) -> set[str]:
    """Return what the lab's containers were given that nobody else is to know."""
    variables = (
        variable.partition("=")
        for one in inspect([*container_ids(lab.name).values()])
        for variable in one["Config"]["Env"]
    )
    return {value for name, _, value in variables if name.endswith(("PASSWORD", "SECRET"))}


def first_screen(found: Evidence) -> str:
    return "\n".join(found.lines[:SCREEN])


@pytest.mark.nightly
def test_the_first_screen_names_the_cause(lab: Lab, library: Library, tmp_path: Path) -> None:
    since = time.time()
    net = library.network("evidence", subnets=["10.86.0.0/24"])
    # The rule for tcp/80 is left out.
    group = library.security_group("evidence-web", rules=["ingress icmp"])
    web = library.vm("evidence-web", on="compute-2", networks=[net], security_groups=[group])
    client = library.vm("evidence-client", on="compute-1", networks=[net])
    client.ping(web)
    with pytest.raises(UnreachedError) as caught:
        client.assert_reaches(web, port=80, within_s=2)
    pairs = pairs_in(caught.value)

    asked = time.time()
    found = library.evidence(since=since, pairs=pairs, steps=[(asked, "asked for port 80")])
    cause = "dropped on compute-2 by security group evidence-web: no ingress rule for tcp/80"
    assert cause in first_screen(found)
    text = "\n".join(found.lines)
    assert "test  " in text
    assert "asked for port 80" in text
    assert "evidence-web: plug (compute-2)" in text
    assert len(found.lines) <= 200

    written = {str(path.relative_to(tmp_path)) for path in found.save(tmp_path)}
    flows = {"ovs": "hosts/compute-2/flows-br-tun.txt", "ovn": "services/ovn-central"}
    logical = {"ovs": "", "ovn": "/ovn-sbctl-lflow-list.txt"}
    assert {
        *("evidence.txt", "timeline.txt", "events.jsonl", "lab.yaml", "status.json", "vms.json"),
        "trace/evidence-client-evidence-web-tcp-80.txt",
        *("hosts/compute-2/flows-br-int.txt", "neutron/ports.json"),
        flows[lab.backend] + logical[lab.backend],
    } <= written
    assert any(name.startswith("logs/compute-2/") for name in written)
    said = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.*"))
    assert [secret for secret in passwords(lab) - {"neutron", ""} if secret in said] == []

    # Who wires the ports has ended; a VM is gone.
    agent = {"ovs": "l2-agent", "ovn": "ovn-controller"}[lab.backend]
    client.delete()
    with library.stopped(f"{agent}@compute-2"):
        found = library.evidence(since=asked, pairs=pairs)
    assert f"compute-2: broken on purpose: stop {agent}" in first_screen(found)
    assert f"{agent} does not run" in first_screen(found)
    assert "not traced: VM evidence-client is gone" in first_screen(found)
    assert f"on purpose: stop {agent}@compute-2" in "\n".join(found.lines)
