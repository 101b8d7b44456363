"""Neutron's API, as what runs inside the lab asks it: by urllib, which costs no memory to speak of.

With Keystone it is asked by a user as which fakevm tells it to, in a lab of its own by nova, as a
compute service does.
"""

import http.client
import json
from collections.abc import Sequence
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

_ANSWER_MAX = 16 * 1024 * 1024

# What asking may end in: nobody answers, or not in the API's words; HTTPError is one of these.
FAILURES = (OSError, http.client.HTTPException, ValueError, LookupError, TypeError)


class Api:
    """Neutron's API."""

    def __init__(self, url: str, *, keystone_url: str = "", login: str = "") -> None:
        """`login`: the body of a request for a token, as JSON; "" in a lab without Keystone."""
        self._url = url.rstrip("/")
        # It is in the lab: a proxy that the environment names is for what is outside.
        self._opener = build_opener(ProxyHandler({}))
        self._tokens = Tokens(keystone_url, login, self._opener) if login else None

    def __str__(self) -> str:
        return self._url

    def get(self, path: str, query: Sequence[tuple[str, str]] = (), *, timeout_s: float) -> Any:
        """Return an answer. Raise one of FAILURES."""
        url = f"{self._url}/v2.0/{path}" + (f"?{urlencode(query)}" if query else "")
        if self._tokens is None:
            return self._get(url, {}, timeout_s)
        try:
            return self._get(url, {"X-Auth-Token": self._tokens.token(timeout_s)}, timeout_s)
        except HTTPError as error:
            if error.code != http.client.UNAUTHORIZED:
                raise
        # It has expired.
        return self._get(url, {"X-Auth-Token": self._tokens.renewed(timeout_s)}, timeout_s)

    def _get(self, url: str, headers: dict[str, str], timeout_s: float) -> Any:
        with self._opener.open(Request(url, headers=headers), timeout=timeout_s) as answer:
            return json.loads(answer.read(_ANSWER_MAX))


class Tokens:
    """Keystone's tokens for a user, each of which is kept until it is refused."""

    def __init__(self, url: str, login: str, opener: OpenerDirector) -> None:
        self._url = url.rstrip("/")
        self._login = login
        self._opener = opener
        self._token = ""

    def token(self, timeout_s: float) -> str:
        """Return the last one, or the first."""
        return self._token or self.renewed(timeout_s)

    def renewed(self, timeout_s: float) -> str:
        """Return a new one (Identity API v3, POST /auth/tokens)."""
        request = Request(
            f"{self._url}/auth/tokens",
            data=self._login.encode(),
            headers={"Content-Type": "application/json"},
        )
        with self._opener.open(request, timeout=timeout_s) as answer:
            self._token = answer.headers["X-Subject-Token"] or ""
        return self._token
