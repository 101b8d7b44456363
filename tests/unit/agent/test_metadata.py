"""What a VM is told that asks for its metadata."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from fakevm.model import Server
from fakevm_agent.nova_events import metadata
from fakevm_agent.nova_events.nova import NovaEvents
from fakevm_agent.nova_events.nova_api import Request

VM = "2cf2f621-4ffe-5334-bf60-9bbc4e7d2b91"
PATH = "/openstack/latest/meta_data.json"
SERVERS = {VM: Server(instance_id=VM, name="web")}


def asking(path: str = PATH, *, secret: str = "secret", **headers: str) -> Request:
    """Return a request as Neutron's metadata agents hand it on."""
    signature = hmac.new(secret.encode(), VM.encode(), hashlib.sha256).hexdigest()
    told = {"x-instance-id": VM, "x-tenant-id": "project", "x-instance-id-signature": signature}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method="GET", path=path, headers={**told, **named})


@pytest.mark.parametrize("version", ["latest", "2018-08-27"])
def test_a_vm_is_told_who_it_is(version: str) -> None:
    request = asking(f"/openstack/{version}/meta_data.json")
    told = metadata.answer(request, SERVERS, secret="secret")
    assert told.status == 200
    assert (told.body["uuid"], told.body["name"]) == (VM, "web")
    assert told.body["hostname"] == "web.novalocal"
    assert told.body["project_id"] == "project"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web", "web"),
        ("My Web_1.example", "my-web-1-example"),
        ("-web!", "web"),
        ("wéb ☃", "wéb"),
        ("x" * 70, "x" * 63),
        ("☃", f"Server-{VM}"),
        (VM, VM),
    ],
)
def test_a_vm_s_hostname_is_the_one_that_nova_gives(name: str, expected: str) -> None:
    assert metadata.hostname(name, VM) == f"{expected}.novalocal"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (asking(x_instance_id=""), 400),
        (asking(x_tenant_id=""), 400),
        (asking(secret="another"), 403),
        (asking(x_instance_id_signature="ü"), 403),
        (asking("/openstack/latest/user_data"), 404),
        (asking("/openstack/../meta_data.json"), 404),
    ],
)
def test_what_nova_would_refuse_is_refused(request_: Request, status: int) -> None:
    assert metadata.answer(request_, SERVERS, secret="secret").status == status


def test_a_vm_that_nobody_knows_has_none() -> None:
    assert metadata.answer(asking(), {}, secret="secret").status == 404


def test_a_question_for_metadata_is_no_event() -> None:
    nova = NovaEvents(metadata_secret="secret")
    nova.servers.update(SERVERS)
    before = nova.log.cursor
    assert nova.receive(asking(), source="network-1").status == 200
    assert nova.log.cursor == before
    # The events' API is where it was.
    assert nova.receive(asking("/v2.1/"), source="neutron-api").status == 200
