from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from fakevm.clients.agents import guest_state
from fakevm.errors import ConfigError, FakevmError, NotFoundError
from fakevm.model import GuestNic, GuestState
from fakevm_agent.ovs import records
from fakevm_agent.protocol import rpc, wire
from fakevm_agent.server import params
from tests.unit.agent.values import INSTANCE, PORT, make_record, make_vif, make_vm, static


def test_a_vif_comes_over_the_wire_as_it_was() -> None:
    vif = make_vif(fixed_ips=(static("10.0.0.5"),))
    given = {"vif": dataclasses.asdict(vif), "vm": dataclasses.asdict(make_vm())}
    found = params.parse(params.PlugParams, json.loads(json.dumps(given)))
    assert found == params.PlugParams(vif=vif, vm=make_vm())


def test_a_record_is_kept_and_read() -> None:
    record = make_record(make_vif(fixed_ips=(static("10.0.0.5"),)), configured=True)
    assert records.parse(records.dump(record)) == record


def test_a_guests_state_goes_to_the_library_and_on_to_another_agent() -> None:
    state = GuestState(
        time=1.5,
        processes={7: "sleep 3600"},
        not_moved=("eth0: its MTU, 1300",),
        nics=(GuestNic(port_id=PORT, nic="eth0", index=2),),
        sysctls={"net/ipv4/conf/eth0/arp_ignore": "1"},
        files={"resolv.conf": "nameserver 10.0.0.53\n"},
    )
    found = guest_state(json.loads(json.dumps(wire.dump(state))))
    assert found == state
    given = {"instance_id": INSTANCE, "state": json.loads(json.dumps(dataclasses.asdict(found)))}
    assert params.parse(params.ResumeParams, given).state == state


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"vif": {}, "vm": {}, "nic": "eth0"}'])
def test_what_is_no_record_is_none(text: str) -> None:
    assert records.parse(text) is None


@pytest.mark.parametrize(
    ("kind", "given", "field"),
    [
        (params.PortParams, {}, "port_id"),
        (params.PortParams, {"port_id": PORT.upper().replace("1", "A")}, "port_id"),
        (params.PortParams, {"port_id": PORT, "more": 1}, "more"),
        (params.ExecEachParams, {"argv": ["a"], "instance_ids": [INSTANCE, "x"]}, "instance_ids.1"),
        (
            params.ExecEachParams,
            {"argv": ["a"], "instance_ids": [INSTANCE] * 2},
            "instance_ids: one",
        ),
        (params.ExecEachParams, {"argv": [], "instance_ids": [INSTANCE]}, "argv"),
        (params.ExecParams, {"argv": [""], "port_id": PORT}, "argv"),
        (params.ExecParams, {"argv": ["a"], "port_id": PORT, "timeout_s": 0}, "timeout_s"),
        (params.ResizeParams, {"id": 1, "rows": 0, "cols": 1}, "size"),
        (params.StdinParams, {"id": 1, "data": "not base64!"}, "data"),
        (params.ResumeParams, {"instance_id": "x"}, "instance_id"),
        (params.CleanupParams, {"keep": [], "only": ["x"]}, "only.0"),
    ],
)
def test_the_field_that_is_wrong_is_named(
    kind: type[params.Params], given: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigError) as error:
        params.parse(kind, given)
    assert str(error.value).startswith(field)


def test_a_call_is_parsed() -> None:
    call = rpc.parse(b'{"jsonrpc": "2.0", "id": "a", "method": "info"}')
    assert call == rpc.Call(method="info", params={}, request_id="a")


def test_a_call_without_an_id_is_a_notification() -> None:
    assert rpc.parse(b'{"jsonrpc": "2.0", "method": "info"}').notification
    # An id of null is one.
    assert not rpc.parse(b'{"jsonrpc": "2.0", "id": null, "method": "info"}').notification


def test_an_error_on_purpose_names_its_class_and_its_hint() -> None:
    body = json.loads(rpc.failure(7, NotFoundError("no port", hint="fakevm list")))
    assert body == {
        "jsonrpc": "2.0",
        "id": 7,
        "error": {
            "code": -32000,
            "message": "no port",
            "data": {"type": "NotFoundError", "hint": "fakevm list"},
        },
    }


def test_a_bug_tells_a_client_no_more_than_that_it_is_one() -> None:
    body = json.loads(rpc.failure(7, KeyError("secret")))
    assert body["error"]["code"] == -32603
    assert "secret" not in body["error"]["message"]


def test_every_answer_is_one_line() -> None:
    assert rpc.failure(None, FakevmError("two\nlines")).count(b"\n") == 1
