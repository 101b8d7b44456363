"""Which VMs are meant where a command is for many, and what is said of them."""

from __future__ import annotations

import pytest

from fakevm.display.several import show
from fakevm.errors import ConfigError, ConflictError, NotFoundError
from fakevm.inventory.lookup import Lookup
from fakevm.inventory.several import Result, Target, named, selected
from tests.fakes.engine import FakeEngine, make_container
from tests.fakes.neutron import FakeNeutron

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
