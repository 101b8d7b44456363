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

from fakevm.errors import UnavailableError


class Sender:
    """Sends requests to one Neutron, without Keystone."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        session = Session(auth=NoAuth(endpoint=endpoint))
        self._adapter = Adapter(session, endpoint_override=f"{endpoint}/v2.0", raise_exc=False)

    def send(self, method: str, path: str, body: object, *, timeout_s: float) -> requests.Response:
        """Return the answer to a request, whatever its status; UnavailableError: there is none."""
        try:
            answer: requests.Response = self._adapter.request(
                path, method, json=body, timeout=timeout_s
            )
        except exceptions.ConnectTimeout as error:
            raise self._silent(f"nothing within {timeout_s:g} s") from error
        except exceptions.ClientException as error:
            raise self._silent(str(error)) from error
        return answer

    def _silent(self, words: str) -> UnavailableError:
        return UnavailableError(
            f"Neutron at {self._endpoint} does not answer: {words}", hint="fakevm status"
        )
