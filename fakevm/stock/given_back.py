"""Whose is again what lost its VM: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from fakevm.inventory import vifs
from fakevm.stock.naming import Names, is_ours
from fakevm.stock.raw import Found, Raw
from fakevm.stock.things import Ref, Thing


def ports(raw: Raw, wanted: Iterable[Thing]) -> Raw:
    """Return what there is, with a port that its VM lost before it ran as that VM's again."""
    vms = {
        one.ref.names[1]: one.ref.names[0]
        for one in wanted
        if one.ref.kind == "nic" and one.ref.names[1] and "_port" not in one.made_with
    }

    def mine(port: Found) -> Found:
        name = port["name"]
        if port["device_id"] or name not in vms or not is_ours(port):
            return port
        return {**port, "device_id": vifs.vm_of(vms[name]).instance_id}

    return replace(raw, found={**raw.found, "ports": [mine(port) for port in raw.found["ports"]]})


def floating_ips(raw: Raw, names: Names, things: Iterable[Thing]) -> Mapping[str, Ref]:
    """Return which of those wanted are there for no port, as where a VM was deleted, by id."""
    rows = raw.found["floatingips"]
    having = {names.refs.get(row["port_id"] or "") for row in rows}
    free = {row["id"]: row for row in rows if not row["port_id"] and is_ours(row)}
    wanted = [
        one
        for one in things
        if one.ref.kind == "floating_ip" and one.attributes["port_id"] not in having
    ]
    given: dict[str, Ref] = {}
    # Any is right for who names no address.
    for one in sorted(wanted, key=lambda one: "floating_ip_address" not in one.attributes):
        network = one.attributes["floating_network_id"]
        address = one.attributes.get("floating_ip_address")
        fits = (
            row["id"]
            for row in free.values()
            if names.of(row["floating_network_id"]) == network
            and address in (None, row["floating_ip_address"])
        )
        if (found := next(fits, None)) is not None:
            given[found] = one.ref
            del free[found]
    return given
