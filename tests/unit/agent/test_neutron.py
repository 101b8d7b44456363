"""Which of a host's VIFs are on other hosts by now, as its agent asks Neutron."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from fakevm.errors import UnavailableError
from fakevm_agent.api import Api
from fakevm_agent.vms.neutron import Neutron
from tests.fakes.neutron_api import NeutronApi


@pytest.fixture
def api() -> Iterator[NeutronApi]:
    with NeutronApi() as api:
        yield api


def test_a_port_is_elsewhere_if_no_binding_of_it_is_here(api: NeutronApi) -> None:
    api.ports = {
        "active here": ("compute-1",),
        "arriving": ("compute-2", "compute-1"),
        "leaving": ("compute-1", "compute-2"),
        "evacuated": ("compute-2",),
        "on its way elsewhere": ("compute-2", "compute-3"),
        "not bound": ("",),
    }
    asked = [*api.ports, "deleted"]
    assert Neutron(Api(api.url), host="compute-1").elsewhere(asked) == {
        "evacuated": "compute-2",
        "on its way elsewhere": "compute-2",
    }


def test_what_is_here_costs_one_question(api: NeutronApi) -> None:
    api.ports = {str(uuid.uuid4()): ("compute-1",) for _ in range(200)}
    assert Neutron(Api(f"{api.url}/"), host="compute-1").elsewhere(api.ports) == {}
    assert len(api.queries) == 1


def test_many_ports_are_asked_for_in_urls_that_are_short_enough(api: NeutronApi) -> None:
    api.ports = {str(uuid.uuid4()): ("compute-2",) for _ in range(120)}
    found = Neutron(Api(api.url), host="compute-1").elsewhere(api.ports)
    assert found == dict.fromkeys(api.ports, "compute-2")
    assert max(len(query.get("id", ())) for query in api.queries) <= 50


def test_a_neutron_that_fails_is_not_taken_for_one_that_knows_nothing(api: NeutronApi) -> None:
    neutron = Neutron(Api(api.url), host="compute-1")
    for status, body in ((500, "oops"), (200, "not JSON"), (200, "[]"), (200, '{"ports": [{}]}')):
        api.status, api.body = status, body
        with pytest.raises(UnavailableError, match="does not answer"):
            neutron.elsewhere(["a"])


def test_a_neutron_that_nobody_is_at(api: NeutronApi, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy of the environment is not for what is inside the lab.
    monkeypatch.setenv("http_proxy", api.url)
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9"):
        Neutron(Api("http://127.0.0.1:9"), host="compute-1").elsewhere(["a"])
    assert api.queries == []
