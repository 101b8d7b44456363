"""What the southbound database says of a port, line by line as `ovsdb-client monitor` prints it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fakevm.backends.southbound import COMMAND, PortBindings

PORT = "d1c0ffee-0000-4000-8000-000000000001"
ONE, TWO = "634f68a4-f8c7-435d-b7af-a6fd873dfa16", "0a8d17dd-e968-4c66-bc70-053b341c8fab"
CHASSIS = {"data": [[["uuid", ONE], "compute-1"], [["uuid", TWO], "compute-2"]]}


def line(
    second: int,
    action: str,
    chassis: Any = ("set", []),
    additional: Any = ("set", []),
    *,
    up: Any = ("set", []),
    port: str = PORT,
    **options: str,
) -> str:
    written = [[name.replace("_", "-"), value] for name, value in options.items()]
    row = ["3c647d82", action, port, chassis, additional, up, ["map", written]]
    return json.dumps({"data": [row], "time": f"2026-11-26 02:30:{second:02}.518"})


@pytest.fixture
def trail() -> PortBindings:
    found = PortBindings([PORT])
    assert list(found.read(json.dumps(CHASSIS))) == []
    return found


def test_a_migration_is_told_change_by_change(trail: PortBindings) -> None:
    lines = [
        line(1, "initial", ("uuid", ONE), up=True, requested_chassis="compute-1"),
        line(
            2,
            "new",
            ("uuid", ONE),
            ("uuid", TWO),
            up=True,
            requested_chassis="compute-1,compute-2",
            activation_strategy="rarp",
        ),
        line(3, "new", ("uuid", TWO), up=True, requested_chassis="compute-2"),
    ]
    told = [[(one.name, one.value) for one in trail.read(each)] for each in lines]
    assert told == [
        [("chassis", "compute-1"), ("up", "true"), ("requested-chassis", "compute-1")],
        [
            ("additional_chassis", "compute-2"),
            ("requested-chassis", "compute-1,compute-2"),
            ("activation-strategy", "rarp"),
        ],
        [
            ("chassis", "compute-2"),
            ("additional_chassis", ""),
            ("requested-chassis", "compute-2"),
            ("activation-strategy", ""),
        ],
    ]


def test_its_times_are_utc(trail: PortBindings) -> None:
    (fact,) = trail.read(line(1, "initial", ("uuid", ONE)))
    assert (fact.time, fact.port_id) == (1795660201.518, PORT)


def test_several_chassis_and_ones_that_came_later_are_told(trail: PortBindings) -> None:
    both = ("set", [("uuid", "ffff"), ("uuid", ONE)])
    (fact,) = trail.read(line(1, "new", additional=both))
    assert fact.value == "compute-1, ffff"


@pytest.mark.parametrize(
    "told",
    [
        line(1, "old", ("uuid", ONE)),
        line(1, "delete", ("uuid", ONE)),
        line(1, "insert", ("uuid", ONE), port="another"),
        line(1, "insert"),
    ],
)
def test_what_is_of_no_interest_is_left_out(trail: PortBindings, told: str) -> None:
    assert list(trail.read(told)) == []


def test_the_command_asks_for_what_is_read() -> None:
    assert "Port_Binding logical_port,chassis,additional_chassis,up,options" in COMMAND[-1]
