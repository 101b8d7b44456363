"""What Nova reads of Neutron when a port's network has changed: the requests alone, in its order.

Source: Nova 34, ComputeManager.external_instance_event, neutron.API.get_instance_nw_info,
_build_network_info_model, _build_vif_model; as recorded from its own code.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError

from fakevm.model import Server
from fakevm.names import PROJECT
from fakevm_agent.api import FAILURES, Api

LOG = logging.getLogger("nova_events")

# neutron.extension_sync_interval's default, of each compute service.
_EXTENSIONS_S = 600.0
_TIMEOUT_S = 30.0

Query = Sequence[tuple[str, str]]


class Refresh:
    """Reads as the compute services do, each server's in a row."""

    def __init__(self, api: Api) -> None:
        self._api = api
        # By host: its extensions are known since.
        self._extensions: dict[str, float] = {}
        # nova: the lock refresh_cache-<uuid>.
        self._locks: dict[str, threading.Lock] = {}

    def refresh(self, server: Server, host: str, port_id: str) -> None:
        """Read what an event of one port, or of the server as a whole, makes Nova read."""
        with self._locks.setdefault(server.instance_id, threading.Lock()):
            try:
                self._refresh(server, host, port_id)
            except FAILURES as error:
                LOG.warning("Neutron did not answer as to Nova: %s", error)

    def _refresh(self, server: Server, host: str, port_id: str) -> None:
        whose = [("tenant_id", server.project_id or PROJECT), ("device_id", server.instance_id)]
        ports = self._get("ports", whose)
        changed = [port for port in ports if port_id in ("", port["id"])]
        if not changed:
            return
        self._get("networks", [("id", port["network_id"]) for port in changed])
        for port in changed:
            self._refresh_port(port, host)

    def _refresh_port(self, port: Mapping[str, Any], host: str) -> None:
        for ip in port["fixed_ips"]:
            query = [("fixed_ip_address", ip["ip_address"]), ("port_id", port["id"])]
            # Where there is no router plug-in, there are none.
            with suppress(HTTPError):
                self._get("floatingips", query)
        network = str(port["network_id"])
        subnet_ids = dict.fromkeys(ip["subnet_id"] for ip in port["fixed_ips"])
        if subnet_ids:
            for _ in self._get("subnets", [("id", subnet_id) for subnet_id in subnet_ids]):
                self._get("ports", [("network_id", network), ("device_owner", "network:dhcp")])
        if time.monotonic() - self._extensions.get(host, float("-inf")) > _EXTENSIONS_S:
            self._extensions[host] = time.monotonic()
            self._get("extensions", [])
        self._get(f"networks/{network}", [("fields", "segments")])
        physical = ("provider:physical_network", "provider:network_type")
        self._get(f"networks/{network}", [("fields", name) for name in physical])

    def _get(self, path: str, query: Query) -> list[Mapping[str, Any]]:
        return list(_lists(self._api.get(path, query, timeout_s=_TIMEOUT_S)))


def _lists(told: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for value in told.values():
        yield from value if isinstance(value, list) else ()
