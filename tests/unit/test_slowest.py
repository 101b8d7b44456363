"""What `up` says of its longest phase, and of what does not get well."""

from __future__ import annotations

from fakevm.labs.explain import telling
from fakevm.labs.slowest import Healthy, last_healthy, told


def healthy(service: str, after_s: float, *, ends: int = 0) -> Healthy:
    role = service.rstrip("-0123456789")
    return Healthy(service=service, role=role, after_s=after_s, ends=ends)


def test_the_longest_phase_is_told_with_its_reason() -> None:
    phases = {"check": 0.4, "images": 3.0, "start": 31.25}
    assert told(phases, {"images": "built"}) == "slowest: start, 31.2 s"
    assert told(phases, {"start": "because"}) == "slowest: start, 31.2 s: because"
    assert told({"check": 0.4, "start": 1.5}, {}) == ""
    assert told({}, {}) == ""


def test_hosts_wait_for_neutron_and_that_for_its_database() -> None:
    seen = [
        healthy("nova-events", 2.0),
        healthy("mariadb", 6.0),
        healthy("neutron-api", 20.0),
        healthy("neutron-rpc", 22.0),
        healthy("network-1", 29.0),
        healthy("compute-1", 31.0),
    ]
    assert last_healthy(seen) == (
        "compute-1 was healthy last, after 31.0 s; compute-1 9.0 s after neutron-rpc;"
        " neutron-rpc 16.0 s after mariadb"
    )


def test_what_was_well_already_was_not_waited_for() -> None:
    assert last_healthy([healthy("compute-4", 12.0)]) == (
        "compute-4 was healthy last, after 12.0 s"
    )
    assert last_healthy([]) == ""


def test_what_has_ended_on_its_way_is_told() -> None:
    seen = [healthy("mariadb", 5.0), healthy("neutron-api", 40.0, ends=2)]
    assert last_healthy(seen) == (
        "neutron-api was healthy last, after 40.0 s and 2 ends; neutron-api 35.0 s after mariadb"
    )


def test_a_log_explains_itself_by_its_last_error() -> None:
    before, after = ([f"{word} {n}" for n in range(20)] for word in ("began", "goes on"))
    error = ["l2-agent: Traceback (most recent call last):", "l2-agent: ValueError: no such bridge"]
    noise = ["ovs-vswitchd: 2026-11-27T02:15:13Z|00001|timeval(revalidator4)|WARN|faults: 2592"] * 9
    assert telling("\n".join([*before, *error, *noise, *after, ""]), lines=6).splitlines() == [
        *before[-2:],
        *error,
        *after[:2],
    ]


def test_a_log_without_an_error_ends_as_it_ends() -> None:
    assert telling("one\ntwo\nthree\n\n", lines=2) == "two\nthree"
    assert telling("", lines=2) == ""
