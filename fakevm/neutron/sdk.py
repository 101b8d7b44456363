"""The OpenStack SDK, for what a script does beside VMs: the only module that imports it."""

from __future__ import annotations

import openstack
import openstack.connection


def connect(endpoint: str, *, timeout_s: float) -> openstack.connection.Connection:
    """Return the SDK's connection to a Neutron without Keystone."""
    return openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_type="none",
        auth={"endpoint": endpoint},
        api_timeout=timeout_s,
    )
