"""Which VMs are meant where a command is for many, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fakevm.display.several import show
from fakevm.errors import ConfigError, ConflictError, NotFoundError
from fakevm.inventory.lookup import Lookup
from fakevm.inventory.several import Result, Target, named, selected
from fakevm.lab import Lab
from fakevm.vms.requests import PortRequest
from tests.fakes.engine import FakeEngine, make_container
from tests.fakes.host import Program
from tests.fakes.neutron import FakeNeutron
from tests.unit.conftest import World

WEB_1, WEB_2, DB = (
    Target(vm_name=name, instance_id=f"id-of-{name}", host=host, port_ids=(f"port-of-{name}",))
    for name, host in (("web-1", "compute-1"), ("web-2", "compute-2"), ("db", "compute-2"))
)
ALL = (DB, WEB_1, WEB_2)


@pytest.fixture
def lab() -> Lookup:
    return Lookup(
        "fakevm", engine=FakeEngine(make_container("neutron-api")), neutron=FakeNeutron({})
    )


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        (["web-*"], [WEB_1, WEB_2]),
        (["web-?", "db"], [DB, WEB_1, WEB_2]),
        (["id-of-db"], [DB]),
        (["host=compute-2"], [DB, WEB_2]),
        (["host=*-1", "web-1"], [WEB_1]),
    ],
)
def test_vms_are_selected_by_name_and_host(
    lab: Lookup, selectors: list[str], expected: list[Target]
) -> None:
    assert selected(lab, ALL, selectors) == expected


def test_a_selector_that_means_nothing_is_an_error(lab: Lookup) -> None:
    with pytest.raises(NotFoundError, match="'mail-\\*' means no VM of db, web-1, web-2"):
        selected(lab, ALL, ["db", "mail-*"])
    with pytest.raises(ConfigError, match="host=NAME or network=NAME is expected"):
        selected(lab, ALL, ["colour=red"])


def test_one_vm_is_named_by_its_name_or_id(lab: Lookup) -> None:
    assert named(lab, ALL, "db") is named(lab, ALL, "id-of-db") is DB
    twin = Target(vm_name="db", instance_id="another", host="compute-1", port_ids=())
    with pytest.raises(ConflictError, match="several VMs are named 'db': another, id-of-db"):
        named(lab, (*ALL, twin), "db")
    with pytest.raises(NotFoundError, match="there is no port 'nobody'"):
        named(lab, ALL, "nobody")


@pytest.fixture
def many(world: World) -> Iterator[Lab]:
    """A lab with four VMs on three hosts."""
    with world.lab() as lab:
        for name, host in PLACES.items():
            lab.create_port(PortRequest(network="net", instance=name, host=host))
        yield lab


PLACES = {"db": "compute-1", "mail": "compute-2", "web-1": "compute-3", "web-2": "compute-1"}


def test_a_command_runs_in_vms_of_several_hosts(many: Lab) -> None:
    found = many.execute_in([], ["echo", "hi"])
    assert [(one.vm_name, one.host) for one in found] == list(PLACES.items())
    assert {(one.exit_code, one.stdout, one.stderr) for one in found} == {(0, "hi\n", "")}
    failed = many.execute_in(["web-*"], ["complain", "ouch", "3"])
    assert [(one.vm_name, one.exit_code, one.stderr) for one in failed] == [
        ("web-1", 3, "ouch"),
        ("web-2", 3, "ouch"),
    ]


def test_a_host_that_goes_fails_the_commands_in_its_own_vms(many: Lab, world: World) -> None:
    def go(host: str) -> Program:
        def program(_: object, say: Callable[[str, bytes], None], _ended: object) -> int:
            say("stdout", b"so far\n")
            if host == "compute-1":
                world.agents[host].die()
            return 0

        return program

    for host, agent in world.agents.items():
        agent.programs["go"] = go(host)
    results = many.execute_in([], ["go"])
    found = {one.vm_name: (one.exit_code, one.error) for one in results}
    assert found["mail"] == found["web-1"] == (0, "")
    for name in ("db", "web-2"):
        assert found[name][0] == -1
        assert "compute-1: the connection to the agent ended" in found[name][1]
    # What was said before is not lost.
    assert {one.stdout for one in results if one.vm_name != "web-2"} == {"so far\n"}


def test_each_line_has_its_vm_and_failures_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = {"host": "compute-1", "stderr": ""}
    show(
        [
            Result(vm_name="db", exit_code=0, stdout="one\ntwo\n", **said),
            Result(vm_name="web-1", exit_code=3, stdout="", **said),
            Result(vm_name="web-2", exit_code=-1, stdout="", error="compute-1 is away", **said),
        ]
    )
    out, err = capsys.readouterr()
    assert out == "db    | one\ndb    | two\n"
    assert err.splitlines() == [
        "web-1 on compute-1: exit code 3",
        "web-2 on compute-1: compute-1 is away",
        "it failed in 2 of 3 VMs",
    ]
