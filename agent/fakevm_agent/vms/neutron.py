"""What the lab's Neutron says of ports."""

from collections.abc import Collection, Sequence

from fakevm.errors import UnavailableError
from fakevm_agent.api import FAILURES, Api

# A URL may have some thousand characters, an id takes 40 of them.
_IDS_MAX = 50
_TIMEOUT_S = 5.0


class Neutron:
    """Neutron, as one host asks it."""

    def __init__(self, api: Api, *, host: str) -> None:
        self._api = api
        self._host = host

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
        try:
            ports = self._api.get("ports", [*query, *fields], timeout_s=_TIMEOUT_S)["ports"]
            return {str(p["id"]): str(p.get("binding:host_id", "")) for p in ports}
        except FAILURES as error:
            raise UnavailableError(
                f"Neutron at {self._api} does not answer: {error}", hint="fakevm status"
            ) from error
