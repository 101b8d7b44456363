"""Who asks Neutron, and how a client of OpenStack's is told of it: an entry of clouds.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from fakevm.names import ADMIN, project

# The domain that `keystone-manage bootstrap` makes, by its id.
DOMAIN = {"id": "default"}


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user of Keystone's, and the project that it works in."""

    auth_url: str
    username: str
    project: str
    password: str = field(repr=False)
    # By "id" or "name".
    user_domain: Mapping[str, str] = field(default_factory=lambda: DOMAIN)
    project_domain: Mapping[str, str] = field(default_factory=lambda: DOMAIN)

    def credentials(self) -> dict[str, Any]:
        """Return what a client logs in with, as keystoneauth and clouds.yaml call it."""
        return {
            "auth_url": self.auth_url,
            "username": self.username,
            "password": self.password,
            "project_name": self.project,
            **{f"user_domain_{key}": value for key, value in self.user_domain.items()},
            **{f"project_domain_{key}": value for key, value in self.project_domain.items()},
        }

    def request(self) -> str:
        """Return the request for a token (Identity API v3, POST /auth/tokens), as JSON.

        What runs in a host sends it as it is.
        """
        user = {"name": self.username, "domain": self.user_domain, "password": self.password}
        scope = {"project": {"name": self.project, "domain": self.project_domain}}
        identity = {"methods": ["password"], "password": {"user": user}}
        return json.dumps({"auth": {"identity": identity, "scope": scope}})

    @classmethod
    def of_request(cls, auth_url: str, request: str) -> Self:
        """Return the login of such a request."""
        auth = json.loads(request)["auth"]
        user, scope = auth["identity"]["password"]["user"], auth["scope"]["project"]
        return cls(
            auth_url=auth_url,
            username=user["name"],
            project=scope["name"],
            password=user["password"],
            user_domain=user["domain"],
            project_domain=scope["domain"],
        )


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
