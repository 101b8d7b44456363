"""How a user of Keystone's logs in, by keystoneauth; imported only for a lab that has Keystone."""

from __future__ import annotations

from keystoneauth1.identity.v3 import Password

from fakevm.neutron.login import Login


def auth(login: Login) -> Password:
    """Return what gets tokens for a session, and another one before one expires."""
    return Password(**login.credentials())
