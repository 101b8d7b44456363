"""What another tool than the agent sees."""

from __future__ import annotations

import json
from typing import Any

from tests.functional.openvswitch import run


def devices(namespace: str | None = None) -> dict[str, dict[str, Any]]:
    """Return the devices of a namespace, with their addresses, by name."""
    where = ["-n", namespace] if namespace else []
    found = json.loads(run("ip", *where, "-j", "-d", "addr", "show"))
    # Addresses' lifetimes and queues' states change by themselves.
    return (
        {link["ifname"]: link for link in found}
        if namespace
        else {link["ifname"]: {"mtu": link["mtu"], "alias": link.get("ifalias")} for link in found}
    )


def addresses(namespace: str, device: str) -> set[str]:
    """Return the addresses of a device, with prefix length, but for link-local ones."""
    return {
        f"{address['local']}/{address['prefixlen']}"
        for address in devices(namespace)[device]["addr_info"]
        if address["scope"] != "link"
    }


def routes(namespace: str, version: int = 4) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        run("ip", f"-{version}", "-n", namespace, "-j", "route", "show", "default")
    )
    return found


def namespaces() -> list[str]:
    return sorted(line.split()[0] for line in run("ip", "netns", "list").splitlines())
