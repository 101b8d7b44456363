"""The OpenStack SDK, for what a script does beside VMs: the only module that imports it."""

from __future__ import annotations

import openstack
import openstack.connection

from fakevm.neutron.login import Login, cloud


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
