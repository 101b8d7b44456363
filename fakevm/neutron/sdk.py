"""The OpenStack SDK, for what a script does beside VMs: the only module that imports it."""

from __future__ import annotations

from collections.abc import Mapping

import openstack
import openstack.config
import openstack.connection
import openstack.exceptions

from fakevm.errors import ConfigError
from fakevm.neutron.login import DOMAIN, Login, cloud

Connection = openstack.connection.Connection


def connect(
    endpoint: str, login: Login | None = None, *, timeout_s: float
) -> openstack.connection.Connection:
    """Return the SDK's connection to a Neutron, by a user of its Keystone if it has one."""
    return openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        api_timeout=timeout_s,
        **cloud(endpoint, login),
    )


def login_of(name: str) -> Login:
    """Return the user of an entry of the user's clouds.yaml; `envvars`: of OS_… variables.

    ConfigError, where there is none, or it logs in by anything but a password.
    """
    try:
        # Not checked: that would ask for what is missing.
        found = openstack.config.OpenStackConfig().get_one(name, validate=False).config
    except openstack.exceptions.ConfigException as error:
        raise ConfigError(f"--os-cloud {name}: {error}") from error
    auth = found.get("auth") or {}
    needed = ("auth_url", "username", "password", "project_name")
    if missing := [key for key in needed if not auth.get(key)]:
        raise ConfigError(
            f"--os-cloud {name}: {', '.join(missing)} is missing; a user with a password is"
            " expected"
        )
    url = str(auth["auth_url"]).rstrip("/")
    return Login(
        # As clouds.yaml may have it without its version.
        auth_url=url if url.endswith("/v3") else f"{url}/v3",
        username=auth["username"],
        project=auth["project_name"],
        password=auth["password"],
        user_domain=_domain(auth, "user"),
        project_domain=_domain(auth, "project"),
    )


def _domain(auth: Mapping[str, str], whose: str) -> Mapping[str, str]:
    for key in ("id", "name"):
        if found := auth.get(f"{whose}_domain_{key}") or auth.get(f"domain_{key}"):
            return {key: found}
    return DOMAIN
