"""How Neutron is asked where Keystone says who asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakevm.errors import ConflictError, NotFoundError, UnavailableError
from fakevm.names import PROJECT
from fakevm.neutron.api import Neutron
from tests.fakes.keystone import Keystone


@pytest.fixture
def keystone() -> Iterator[Keystone]:
    with Keystone() as keystone:
        yield keystone


@pytest.fixture
def neutron(keystone: Keystone) -> Neutron:
    return Neutron(keystone.url, login=keystone.login())


def test_one_token_is_for_all_requests(keystone: Keystone, neutron: Neutron) -> None:
    for _ in range(3):
        assert neutron.ports() == []
    assert neutron.traced().ports() == []
    assert keystone.given == ["admin"]


def test_a_token_that_is_about_to_expire_is_not_used(keystone: Keystone, neutron: Neutron) -> None:
    # keystoneauth takes none that has less than two minutes left.
    keystone.lifetime_s = 20
    for _ in range(2):
        assert neutron.ports() == []
    assert len(keystone.given) > 1


def test_a_token_that_is_refused_is_replaced(keystone: Keystone, neutron: Neutron) -> None:
    neutron.ports()
    # As after a restart of Keystone with new keys.
    keystone.given.append("another")
    assert neutron.ports() == []
    assert keystone.given == ["admin", "another", "admin"]


def test_a_keystone_that_fails_is_named(keystone: Keystone, neutron: Neutron) -> None:
    keystone.status = 500
    with pytest.raises(UnavailableError, match=rf"Keystone at {keystone.url}/v3 does not answer"):
        neutron.ports()


def test_a_user_that_keystone_does_not_know_is_named(keystone: Keystone) -> None:
    neutron = Neutron(keystone.url, login=keystone.login(password="wrong"))
    with pytest.raises(UnavailableError, match="does not know the user admin"):
        neutron.ports()


def test_a_project_is_found_by_name_or_id(neutron: Neutron) -> None:
    assert neutron.project_id() == neutron.project_id("admin") == "1" * 32
    assert neutron.project_id("demo") == neutron.project_id("2" * 32) == "2" * 32
    with pytest.raises(NotFoundError, match="no project 'nonsense'"):
        neutron.project_id("nonsense")
    with pytest.raises(ConflictError, match=f"{'3' * 32}, {'4' * 32}"):
        neutron.project_id("twice")


def test_without_keystone_a_project_is_what_it_is_called() -> None:
    neutron = Neutron("http://127.0.0.1:9")
    assert neutron.project_id() == PROJECT
    assert neutron.project_id("demo") == "demo"


def test_a_password_is_not_shown(keystone: Keystone) -> None:
    assert "right" not in repr(keystone.login())
