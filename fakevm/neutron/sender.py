"""Requests to Neutron by keystoneauth, as the SDK itself sends them: alone imports keystoneauth1.

By the SDK's resources several calls are made of what is one of Nova's, and its import takes longer
than all of ours.
"""

from __future__ import annotations

import requests
from keystoneauth1 import exceptions
from keystoneauth1.adapter import Adapter
from keystoneauth1.noauth import NoAuth
from keystoneauth1.session import Session

from fakevm import neutron
from fakevm.errors import ConflictError, NotFoundError, UnavailableError
from fakevm.names import PROJECT
from fakevm.neutron.login import Login

# How long Keystone may take for a token.
TOKEN_S = 30.0


class Sender:
    """Sends requests to one Neutron, by a user of its Keystone if it has one."""

    def __init__(self, endpoint: str, login: Login | None = None) -> None:
        self._endpoint = endpoint
        self._login = login
        auth = neutron.password.auth(login) if login else NoAuth(endpoint=endpoint)
        # Its own timeout is that of a question to Keystone.
        self._session = Session(auth=auth, timeout=TOKEN_S)
        self._adapter = Adapter(
            self._session, endpoint_override=f"{endpoint}/v2.0", raise_exc=False
        )

    @property
    def http(self) -> requests.Session:
        """Who sends them in the end."""
        return self._session.session

    def send(self, method: str, path: str, body: object, *, timeout_s: float) -> requests.Response:
        """Return the answer to a request, whatever its status; UnavailableError: there is none."""
        self._log_in()
        try:
            answer: requests.Response = self._adapter.request(
                path, method, json=body, timeout=timeout_s
            )
        except exceptions.ConnectTimeout as error:
            raise self._silent(f"nothing within {timeout_s:g} s") from error
        except exceptions.ClientException as error:
            raise self._silent(str(error)) from error
        return answer

    def project_id(self, ref: str | None = None) -> str:
        """Return the id of a project of Keystone's by name or id; None: of the user's own.

        Without Keystone a project is whatever it is called.
        """
        if self._login is None:
            return ref or PROJECT
        self._log_in()
        if ref is None:
            return str(self._session.get_project_id())
        found = self._projects(ref)
        if not found:
            raise NotFoundError(
                f"there is no project {ref!r}", hint="fakevm openstack project list"
            )
        if len(found) > 1:
            raise ConflictError(
                f"several projects are named {ref!r}: {', '.join(found)}", hint="give the id"
            )
        return found[0]

    def _projects(self, ref: str) -> list[str]:
        assert self._login
        adapter = Adapter(self._session, endpoint_override=self._login.auth_url)
        try:
            projects = adapter.get("/projects", timeout=TOKEN_S).json()["projects"]
        except exceptions.ClientException as error:
            raise self._keystone(str(error)) from error
        return [one["id"] for one in projects if one["id"] == ref] or sorted(
            one["id"] for one in projects if one["name"] == ref
        )

    def _log_in(self) -> None:
        """Have a token; keystoneauth asks for another one two minutes before its end."""
        if self._login is None:
            return
        try:
            self._session.get_token()
        except exceptions.Unauthorized as error:
            raise self._keystone(f"does not know the user {self._login.username}") from error
        except exceptions.ClientException as error:
            raise self._keystone(f"does not answer: {error}") from error

    def _keystone(self, words: str) -> UnavailableError:
        assert self._login
        return UnavailableError(f"Keystone at {self._login.auth_url} {words}", hint="fakevm status")

    def _silent(self, words: str) -> UnavailableError:
        return UnavailableError(
            f"Neutron at {self._endpoint} does not answer: {words}", hint="fakevm status"
        )
