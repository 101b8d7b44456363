"""What Nova would answer, decided from the request alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fakevm.model import Server
from fakevm_agent.nova_events.nova_api import BODY_MAX, PATH, Answer, Request, answer

VM = "11111111-0000-4000-8000-000000000001"
HOMELESS = "11111111-0000-4000-8000-000000000002"
UNKNOWN = "11111111-0000-4000-8000-000000000003"
PORT = "aaaaaaaa-0000-4000-8000-000000000001"
SERVERS = {
    VM: Server(instance_id=VM, host="compute-1"),
    HOMELESS: Server(instance_id=HOMELESS),
}

PLUGGED = {"server_uuid": VM, "name": "network-vif-plugged", "status": "completed", "tag": PORT}


def ask(body: Any, *, version: str = "2.1", **changes: Any) -> Answer:
    headers = {"content-type": "application/json", "x-openstack-nova-api-version": version}
    values = {"method": "POST", "path": PATH, "headers": headers, **changes}
    return answer(Request(body=json.dumps(body).encode(), **values), SERVERS)


def refusal(told: Answer) -> tuple[int, str, str]:
    ((name, fault),) = told.body.items()
    assert fault["code"] == told.status
    assert told.events == ()
    return told.status, name, fault["message"]


def test_an_event_of_a_server_on_a_host_is_accepted() -> None:
    told = ask({"events": [PLUGGED]})
    assert (told.status, told.version) == (200, "2.1")
    assert told.body == {"events": [{**PLUGGED, "code": 200}]}
    assert told.events == ({**PLUGGED, "code": 200},)


def test_an_event_without_a_status_is_answered_with_one() -> None:
    told = ask({"events": [{"server_uuid": VM, "name": "network-changed", "tag": PORT}]})
    (event,) = told.body["events"]
    assert (event["status"], event["code"]) == ("completed", 200)
    assert "status" not in told.events[0]


def test_a_failed_event_is_accepted_and_stays_what_it_was() -> None:
    told = ask({"events": [{**PLUGGED, "status": "failed"}]})
    assert told.body["events"][0]["status"] == "completed"
    assert told.events[0]["status"] == "failed"


@pytest.mark.parametrize(("server", "code"), [(UNKNOWN, 404), (HOMELESS, 422)])
def test_who_can_t_be_told_is_answered_for_its_event_alone(server: str, code: int) -> None:
    lost = {**PLUGGED, "server_uuid": server}
    told = ask({"events": [PLUGGED, lost]})
    assert told.status == 207
    assert [(e["status"], e["code"]) for e in told.body["events"]] == [
        ("completed", 200),
        ("failed", code),
    ]
    assert [event["status"] for event in told.events] == ["completed", "completed"]


def test_where_no_event_is_accepted_the_answer_is_the_same_kind() -> None:
    told = ask({"events": [{**PLUGGED, "server_uuid": UNKNOWN}]})
    assert (told.status, told.body["events"][0]["code"]) == (207, 404)


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("volume-extended", "2.51"),
        ("power-update", "2.76"),
        ("accelerator-request-bound", "2.82"),
    ],
)
def test_some_events_need_a_tag_and_a_version(name: str, since: str) -> None:
    event = {"server_uuid": VM, "name": name}
    assert ask({"events": [event]}, version=since).body["events"][0]["code"] == 400
    tagged = ask({"events": [{**event, "tag": "x"}]}, version="latest")
    assert (tagged.status, tagged.version) == (200, "2.104")
    major, _, minor = since.partition(".")
    before = ask({"events": [event]}, version=f"{major}.{int(minor) - 1}")
    assert refusal(before)[:2] == (400, "badRequest")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "None is not of type 'object'"),
        ([], "[] is not of type 'object'"),
        ({}, "'events' is a required property"),
        ({"events": {}}, "attribute events. Value: {}. {} is not of type 'array'"),
        ({"events": []}, "attribute events. Value: []. [] should be non-empty"),
        ({"events": [PLUGGED], "more": 1}, "('more' was unexpected)"),
        ({"events": [1]}, "attribute 0. Value: 1. 1 is not of type 'object'"),
        ({"events": [{"name": "network-changed"}]}, "'server_uuid' is a required property"),
        ({"events": [{"server_uuid": VM}]}, "'name' is a required property"),
        ({"events": [{**PLUGGED, "a": 1, "b": 2}]}, "('a', 'b' were unexpected)"),
        ({"events": [{**PLUGGED, "name": "x"}]}, "attribute name. Value: x. 'x' is not one of ["),
        ({"events": [{**PLUGGED, "name": []}]}, "[] is not of type 'string'"),
        ({"events": [{**PLUGGED, "status": "ok"}]}, "'ok' is not one of ['failed', 'completed',"),
        ({"events": [{**PLUGGED, "server_uuid": "x"}]}, "'x' is not a 'uuid'"),
        ({"events": [{**PLUGGED, "tag": "x" * 256}]}, "is too long"),
        ({"events": [{**PLUGGED, "tag": None}]}, "None is not of type 'string'"),
    ],
)
def test_a_body_that_the_schema_does_not_allow_is_refused_as_a_whole(body: Any, words: str) -> None:
    status, name, message = refusal(ask(body))
    assert (status, name) == (400, "badRequest")
    assert words in message


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"events": ', b"[" * 100_000])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    told = answer(Request(method="POST", path=PATH, body=body), SERVERS)
    assert refusal(told) == (400, "badRequest", "Malformed request body")


@pytest.mark.parametrize(
    ("changes", "status", "name"),
    [
        ({"method": "GET"}, 405, "badMethod"),
        ({"path": "/v2.1/servers"}, 404, "itemNotFound"),
        ({"headers": {"content-type": "text/xml"}}, 415, "badMediaType"),
        ({"headers": {"openstack-api-version": "compute 2.105"}}, 406, "computeFault"),
        ({"headers": {"openstack-api-version": "compute 2.0"}}, 406, "computeFault"),
        ({"headers": {"x-openstack-nova-api-version": "two"}}, 400, "badRequest"),
    ],
)
def test_what_never_gets_to_the_events_is_refused(
    changes: dict[str, Any], status: int, name: str
) -> None:
    assert refusal(ask({"events": [PLUGGED]}, **changes))[:2] == (status, name)


def test_a_body_that_is_too_large_is_refused() -> None:
    large = Request(method="POST", path=PATH, body=b" " * (BODY_MAX + 1))
    assert refusal(answer(large, SERVERS))[:2] == (413, "overLimit")


def test_the_version_is_compute_s_of_several() -> None:
    headers = {"openstack-api-version": "volume 3.1, compute 2.51"}
    assert ask({"events": [PLUGGED]}, headers=headers).version == "2.51"


def test_the_api_says_what_it_is() -> None:
    told = answer(Request(method="GET", path="/v2.1/"), SERVERS)
    assert (told.status, told.body["version"]["id"]) == (200, "v2.1")
