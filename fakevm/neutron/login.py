"""Who asks Neutron, and how a client of OpenStack's is told of it: an entry of clouds.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fakevm.names import ADMIN, project

# The domain that `keystone-manage bootstrap` makes, by its id.
DOMAIN = "default"


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user of the lab's Keystone, and the project that it works in."""

    auth_url: str
    username: str
    project: str
    password: str = field(repr=False)

    def credentials(self) -> dict[str, Any]:
        """Return what a client logs in with, as keystoneauth and clouds.yaml call it."""
        return {
            "auth_url": self.auth_url,
            "username": self.username,
            "password": self.password,
            "project_name": self.project,
            "user_domain_id": DOMAIN,
            "project_domain_id": DOMAIN,
        }


def cloud(endpoint: str, login: Login | None = None) -> Mapping[str, Any]:
    """Return the entry of clouds.yaml for a Neutron: without Keystone, or for a user of it."""
    if login is None:
        return {"auth_type": "none", "auth": {"endpoint": endpoint}}
    return {
        "auth_type": "password",
        "auth": login.credentials(),
        # Of the lab's endpoints those that are published on this machine.
        "interface": "public",
    }


def clouds(lab: str, endpoint: str, logins: Mapping[str, Login]) -> dict[str, object]:
    """Return what clouds.yaml has for a lab: fakevm's own user, with Keystone the others, too."""
    name = project(lab)
    if not logins:
        return {"clouds": {name: cloud(endpoint)}}
    names = {user: name if user == ADMIN else f"{name}-{user}" for user in logins}
    return {"clouds": {names[user]: cloud(endpoint, login) for user, login in logins.items()}}
