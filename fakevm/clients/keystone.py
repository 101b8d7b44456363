"""The users by whom a lab's Neutron is asked, as its containers know them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fakevm import neutron
from fakevm.clients.containers import Recipe
from fakevm.names import ADMIN, KEYSTONE_PORT, USERS

if TYPE_CHECKING:
    from fakevm.neutron.login import Login


def users(keystone: Recipe) -> Mapping[str, Login]:
    """Return the users of a lab's own Keystone, by name."""
    return {
        username: neutron.login.Login(
            auth_url=f"http://127.0.0.1:{keystone.ports[KEYSTONE_PORT]}/v3",
            username=username,
            project=project,
            password=keystone.environment["FAKEVM_KEYSTONE_PASSWORD"],
        )
        for username, project in USERS.items()
    }


def elsewhere(events: Recipe) -> Mapping[str, Login]:
    """Return the user of a Neutron that runs elsewhere, as nova-events was told it; none."""
    told = events.environment
    url, request = told["FAKEVM_KEYSTONE_URL"], told["FAKEVM_KEYSTONE_LOGIN"]
    return {ADMIN: neutron.login.Login.of_request(url, request)} if request else {}
