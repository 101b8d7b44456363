"""One lab for the session, its logs, and what a test makes in it."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from fakevm import Lab as Library
from fakevm.evidence.values import pairs_in
from tests.integration.cloud import Cloud, Guest
from tests.integration.lab import COMPUTES, Lab

# They have labs of their own.
LONGEST = ("test_labs", "test_ovn", "test_ovn_too", "test_keystone", "test_elsewhere")

LOGS = Path(__file__).parents[2] / "logs"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that at the end no worker waits for another."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(scope="session")
def lab_name(worker_id: str) -> str:
    """The name of the session's lab, with which those of others begin.

    FAKEVM_TEST_LAB has it. Where tests run side by side (pytest -n), each worker has labs of its
    own: its name is added.
    """
    name = os.environ.get("FAKEVM_TEST_LAB", "test")
    return name if worker_id == "master" else f"{name}-{worker_id}"


@pytest.fixture(scope="session")
def lab(lab_name: str) -> Iterator[Lab]:
    """A lab of three compute hosts: a running one of this name is used as it is.

    FAKEVM_TEST_BACKEND says what wires its ports, ovs by default; FAKEVM_TEST_KEEP leaves it
    running, for a look or the next run.
    """
    lab = Lab(lab_name)
    try:
        backend = os.environ.get("FAKEVM_TEST_BACKEND", "ovs")
        argv = ("--name", lab.name, "--computes", str(len(COMPUTES)), "--backend", backend)
        lab.fakevm.ok("up", *argv)
        yield lab
    finally:
        try:
            lab.save_logs(LOGS / lab.name)
        finally:
            if not os.environ.get("FAKEVM_TEST_KEEP"):
                lab.fakevm.ok("down", "--name", lab.name)


@pytest.fixture
def cloud(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """What one test makes, and its end removes."""
    with Cloud(lab, request.node.name) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def shared_cloud(lab: Lab) -> Iterator[Cloud]:
    with Cloud(lab, "shared") as cloud:
        yield cloud


@pytest.fixture(scope="session")
def pair(shared_cloud: Cloud) -> tuple[Guest, Guest]:
    """Two VMs on two hosts, for the tests that only look or run commands in them."""
    network = shared_cloud.network(cidr="10.9.0.0/24")
    first, second = shared_cloud.guests(network, {"shared-1": "compute-1", "shared-2": "compute-2"})
    return first, second


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the lab tells of it."""
    report = yield
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(lab, Lab):
        with Library(lab.name) as library:
            error = call.excinfo.value if call.excinfo else None
            found = library.evidence(since=call.start, pairs=pairs_in(error))
        found.save(LOGS / lab.name / f"{item.name}-{call.when}")
        report.sections.append((f"the lab during {call.when}", "\n".join(found.lines)))
    return report
