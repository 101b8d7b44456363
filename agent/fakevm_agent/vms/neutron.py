"""What the lab's Neutron says of ports. The only module that asks it."""

import http.client
import json
from collections.abc import Collection, Sequence
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from fakevm.errors import UnavailableError

# A URL may have some thousand characters, an id takes 40 of them.
_IDS_MAX = 50
_ANSWER_MAX = 16 * 1024 * 1024
_TIMEOUT = 5.0


class Neutron:
    """Neutron's API, without Keystone, as one host asks it."""

    def __init__(self, url: str, *, host: str) -> None:
        self._url = url.rstrip("/")
        self._host = host
        # It is in the lab: a proxy that the environment names is for what is outside.
        self._opener = build_opener(ProxyHandler({}))

    def elsewhere(self, port_ids: Collection[str]) -> dict[str, str]:
        """Return those of the ports that are bound to other hosts alone, and to which.

        An inactive binding to this host counts, too: that of a migration. A port that Neutron does
        not know, or that is not bound at all, is not elsewhere. Raise UnavailableError.
        """
        here = self._hosts([("binding:host_id", self._host)])
        others = sorted(set(port_ids) - here.keys())
        found: dict[str, str] = {}
        for first in range(0, len(others), _IDS_MAX):
            found |= self._hosts([("id", port) for port in others[first : first + _IDS_MAX]])
        return {port_id: host for port_id, host in found.items() if host not in ("", self._host)}

    def _hosts(self, query: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Return the ports that match, and where their active binding is; "": nowhere."""
        fields = [("fields", "id"), ("fields", "binding:host_id")]
        url = f"{self._url}/v2.0/ports?{urlencode([*query, *fields])}"
        try:
            with self._opener.open(url, timeout=_TIMEOUT) as answer:
                ports = json.loads(answer.read(_ANSWER_MAX))["ports"]
                return {str(p["id"]): str(p.get("binding:host_id", "")) for p in ports}
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            raise UnavailableError(
                f"Neutron at {self._url} does not answer: {error}", hint="fakevm status"
            ) from error
