from __future__ import annotations

from fakevm_agent.records import owner_of
from fakevm_agent.vms.leftover import Leftover, left_over
from tests.unit.agent.values import (
    INSTANCE,
    PORT,
    make_interface,
    make_link,
    make_present,
    make_record,
)

RECORD = make_record()
PRESENT = make_present(RECORD)
INTERFACE = make_interface(RECORD)
assert PRESENT.device
EVERYTHING = {
    "links": {PRESENT.device.name: PRESENT.device},
    "strays": [],
    "interfaces": {INTERFACE.name: INTERFACE},
    "owners": {PORT: owner_of(RECORD)},
    "instances": {INSTANCE: {42: "dhclient"}},
}


def test_nothing_of_a_kept_port_is_left_over() -> None:
    assert left_over(frozenset({PORT}), **EVERYTHING) == []  # type: ignore[arg-type]


def test_everything_of_a_gone_port_is_left_over() -> None:
    name = RECORD.vif.device
    assert left_over(frozenset(), **EVERYTHING) == [  # type: ignore[arg-type]
        Leftover(kind="interface", name=name, port_id=PORT),
        Leftover(kind="device", name=name, port_id=PORT),
        Leftover(kind="process", name="dhclient (42)", port_id=None),
        Leftover(kind="netns", name=INSTANCE, port_id=None),
    ]


def test_a_vm_with_one_kept_port_stays() -> None:
    found = left_over(
        frozenset({PORT}),
        links={},
        strays=[],
        interfaces={},
        owners={"other": owner_of(RECORD), PORT: owner_of(RECORD)},
        instances={INSTANCE: {}},
    )
    assert found == []


def test_a_device_that_nothing_says_is_ours_is_not() -> None:
    stranger = make_link("tap99999999-99")
    found = left_over(
        frozenset(),
        links={stranger.name: stranger},
        strays=[],
        interfaces={},
        owners={},
        instances={},
    )
    assert found == []


def test_what_a_driver_made_is_left_over_by_its_kind() -> None:
    strays = [make_link("qbr99999999-99", kind="bridge"), make_link("qvb99999999-99")]
    found = left_over(
        frozenset({PORT}), links={}, strays=strays, interfaces={}, owners={}, instances={}
    )
    assert found == [
        Leftover(kind="bridge", name="qbr99999999-99", port_id=None),
        Leftover(kind="device", name="qvb99999999-99", port_id=None),
    ]
