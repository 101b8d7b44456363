"""VMs' ports: what Neutron says and what the hosts have, side by side."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from fakevm.clients.parts import Parts
from fakevm.errors import FakevmError, UnavailableError
from fakevm.inventory.rows import Row, join
from fakevm.neutron.values import Port


def rows(lab: Parts) -> list[Row]:
    """Return every VM's ports."""
    # Its import goes on while the hosts are asked.
    neutron = lab.neutron
    answers = lab.ask_hosts(lambda agent: agent.vifs())
    plugged = {host: found for host, found in answers.items() if isinstance(found, list)}
    silent = {host: found for host, found in answers.items() if isinstance(found, FakevmError)}
    for error in silent.values():
        lab.say(str(error))
    known = {one.port_id for found in plugged.values() for one in found}
    ports = [
        port
        for port in neutron.ports()
        if port.device_owner.startswith("compute:") or port.id in known
    ]
    names = neutron.network_names()
    made = _of_others(lab, join(ports, plugged, silent_hosts=silent))
    return [replace(row, network=names.get(row.network_id, "")) for row in _named(lab, made)]


def _of_others(lab: Parts, made: list[Row]) -> list[Row]:
    """Return rows in which nothing is missed on hosts that are another's."""
    if not lab.joined:
        return made
    ours = {container.service for container in lab.computes}
    return [
        one if one.plugged_host or one.host in (*ours, "") else replace(one, differs="")
        for one in made
    ]


def _named(lab: Parts, made: list[Row]) -> list[Row]:
    """Return rows with the names of VMs that no host has, as Nova knows them."""
    nameless = sorted({one.instance_id for one in made if one.vm_name == one.instance_id})
    names = names_of(lab, nameless)
    return [replace(one, vm_name=names.get(one.instance_id, one.vm_name)) for one in made]


def names_of(lab: Parts, instance_ids: Collection[str]) -> dict[str, str]:
    """Return the names that Nova knows of these VMs; none, where it is not there."""
    if not instance_ids:
        return {}
    try:
        servers = lab.events.servers(instance_ids)
    except UnavailableError:
        return {}
    return {one.instance_id: one.name for one in servers if one.name}


def row(lab: Parts, port: Port) -> Row:
    """Return one port."""
    answers = lab.ask_hosts(lambda agent: agent.vifs(port.id))
    plugged = {host: found for host, found in answers.items() if isinstance(found, list)}
    made = _named(lab, join([port], plugged, silent_hosts=answers.keys() - plugged.keys()))
    # More than one where it is plugged on several hosts: the one that it is bound to.
    found = next((one for one in made if one.plugged_host == port.host), made[0])
    # Neutron tells of the bindings of a VM's ports alone.
    bindings = lab.neutron.bindings(port.id) if port.device_owner.startswith("compute:") else []
    left = [
        f"{binding.status} binding to {binding.host} (fakevm migrate --abort {port.id})"
        for binding in bindings
        if not binding.active
    ]
    return replace(
        found,
        network=lab.neutron.network_names().get(port.network_id, ""),
        differs="; ".join(filter(None, [found.differs, *left])),
    )
