"""The pytest plug-in as who tests with it sees it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.integration.lab import Lab

TESTS = """
import os, signal

import pytest


@pytest.mark.fakevm(hosts=2)
def test_port_80_is_open(cloud):
    net = cloud.network("blue", subnets=["10.1.0.0/24"])
    # Left out on purpose: "ingress tcp 80".
    group = cloud.security_group("web", rules=["ingress tcp 22"])
    web, client = cloud.vms("web", "client", networks=[net], security_groups=[group])
    client.assert_reaches(web, port=22)
    client.assert_reaches(web, port=80, within_s=2)


def test_leaves(lab, cloud):
    net = cloud.network("blue", subnets=["10.1.0.0/24"])
    lab.router("stray", interfaces=[net])
    lab.vm("stray", networks=[net])
    lab.openstack.network.create_network(name="raw")
    if "KILL" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.fakevm(neutron=">99")
def test_new(lab):
    raise AssertionError


def test_hosts(hosts, backend, lab):
    assert hosts(2) == ["compute-1", "compute-2"]
    assert lab.backend.name == backend
"""


def run_pytest(lab: Lab, folder: Path, *argv: str, **environ: str) -> tuple[int, str]:
    """Run these tests in the lab, which runs; return the exit code and what is said."""
    (folder / "test_it.py").write_text(TESTS, encoding="utf-8")
    done = subprocess.run(
        (
            *(sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider"),
            *("--fakevm-lab", lab.name, "--fakevm-backend", lab.backend, *argv),
        ),
        cwd=folder,
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state"), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout


def named(lab: Lab) -> set[str]:
    neutron = lab.sdk.network
    made = (neutron.networks(), neutron.routers(), neutron.ports(), neutron.security_groups())
    return {one.name for kind in made for one in kind}


@pytest.mark.nightly
def test_a_missing_rule_is_read_off_the_first_screen_and_nothing_stays(
    lab: Lab, tmp_path: Path
) -> None:
    before = named(lab)
    code, said = run_pytest(lab, tmp_path, "-k", "leaves", KILL="1")
    assert code == -signal.SIGKILL, said
    assert {"stray", "raw", "leaves-blue"} <= named(lab)

    evidence, junit = tmp_path / "evidence", tmp_path / "junit.xml"
    code, said = run_pytest(
        lab, tmp_path, "-n", "2", "--fakevm-shared", "--fakevm-evidence", str(evidence),
        "--junitxml", str(junit), "-o", "junit_logging=system-out",
    )  # fmt: skip
    assert code == 1, said
    assert "1 failed, 2 passed, 1 skipped, 1 warning" in said, said

    # Why, within a screen of the failed line.
    _, _, failure = said.partition("test_port_80_is_open _")
    screen = failure.splitlines()[:40]
    dropped = "by security group port-80-is-open-gw[01]-web: no (ingress )?rule for tcp/80"
    assert [line for line in screen if re.search(dropped, line)], said
    (folder,) = (evidence / "test_it.py-test_port_80_is_open").iterdir()
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert {"evidence.txt", "lab.yaml", "neutron/ports.json"} <= files
    attached = f"[[ATTACHMENT|{folder}/evidence.txt]]"
    cases = {one.get("name"): one for one in ET.parse(junit).iter("testcase")}
    assert attached in (cases["test_port_80_is_open"].findtext("system-out") or "")

    # What was left is gone, and told; the lab, which was there, is there.
    (told,) = re.findall("test_leaves left behind, and the plug-in removed: (.*)", said)
    assert sorted(told.split(", ")) == ["VM stray", "network raw", "router stray"]
    assert "needs Neutron >99; the lab has 28.0.2" in said
    assert named(lab) == before
    assert lab.fakevm.json("cleanup", "--dry-run") == []
