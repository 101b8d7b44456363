"""How what runs inside a lab asks its Neutron."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.error import HTTPError

import pytest

from fakevm_agent.api import Api
from tests.fakes.keystone import Keystone


@pytest.fixture
def keystone() -> Iterator[Keystone]:
    with Keystone() as keystone:
        yield keystone


def test_a_token_is_kept_until_it_is_refused(keystone: Keystone) -> None:
    api = Api(keystone.url, keystone_url=f"{keystone.url}/v3", login=keystone.login().request())
    for _ in range(2):
        assert api.get("ports", timeout_s=5) == {"ports": []}
    assert keystone.given == ["admin"]
    keystone.given.append("another")
    assert api.get("ports", [("id", "a")], timeout_s=5) == {"ports": []}
    assert keystone.given == ["admin", "another", "admin"]


def test_a_neutron_that_wants_a_token_refuses_who_has_none(keystone: Keystone) -> None:
    with pytest.raises(HTTPError, match="401"):
        Api(keystone.url).get("ports", timeout_s=5)
    login = keystone.login(password="wrong").request()
    wrong = Api(keystone.url, keystone_url=f"{keystone.url}/v3", login=login)
    with pytest.raises(HTTPError, match="401"):
        wrong.get("ports", timeout_s=5)
