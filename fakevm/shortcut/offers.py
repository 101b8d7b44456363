"""What a lab has that a user may name, for a shell's completion.

By a question to Docker and one to Neutron.

Nothing of it takes longer than a second; FakevmError, where it can't be had.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, NamedTuple

from fakevm import shortcut
from fakevm.clients.process import Inside, connect, read
from fakevm.errors import UnavailableError, WaitTimeoutError
from fakevm.names import NEUTRON_PORT, container_name, may_be_a_vms
from fakevm.shortcut.containers import Container, containers

# Who waits at a prompt types on after that.
ANSWER_S = 1.0

_EVENTS = "nova-events"

# So many ids go into a pipe at once, also while nobody reads it.
_MOST = 1000

_PORT = ("id", "name", "device_id", "device_owner", "binding:host_id")


class Offer(NamedTuple):
    """A word that may be typed, and what a shell may say beside it."""

    word: str
    about: str = ""


class _Port(NamedTuple):
    """A port, as far as it is offered."""

    id: str
    name: str
    device_id: str
    device_owner: str
    host: str


class _Lab:
    """The containers of a lab, and of the one that it has joined."""

    def __init__(self, name: str, found: Iterable[Container]) -> None:
        ours = [one for one in found if one.lab == name]
        self.home = next((one.home for one in ours if one.home), name)
        self.containers = ours
        if self.home != name:
            self.containers = ours + [one for one in found if one.lab == self.home]

    @property
    def api_port(self) -> int:
        """Where Neutron's API is published."""
        for one in self.containers:
            if one.service == "neutron-api" and NEUTRON_PORT in one.ports:
                return one.ports[NEUTRON_PORT]
        raise UnavailableError("the lab's neutron-api does not run")


def labs() -> list[Offer]:
    """Return the labs, stopped ones, too."""
    return [Offer(lab) for lab in sorted({one.lab for one in containers(ANSWER_S)})]


def services(lab: str, *roles: str) -> list[Offer]:
    """Return the services, hosts among them, that have one of these roles; "neutron-": all such."""
    found = _Lab(lab, containers(ANSWER_S)).containers
    return [Offer(one.service) for one in found if one.role.startswith(roles)]


def hosts(lab: str) -> list[Offer]:
    """Return the compute hosts."""
    return services(lab, "compute")


def ports(lab: str, begun: str) -> list[Offer]:
    """Return the ports that are a VM's, or nobody's yet."""
    deadline = _deadline()
    found = _ports(_Lab(lab, containers(_left(deadline))), deadline)
    about = {port.id: f"on {port.host}" if port.host else "not bound" for port in found}
    return _called({port.id: port.name for port in found}, begun, about)


def networks(lab: str, begun: str) -> list[Offer]:
    """Return the networks."""
    deadline = _deadline()
    api_port = _Lab(lab, containers(_left(deadline))).api_port
    found = _answered(
        shortcut.asking.networks(api_port, fields=("id", "name"), timeout_s=_left(deadline))
    )
    return _called({str(one["id"]): str(one.get("name") or "") for one in found}, begun)


def vms(lab: str, begun: str) -> list[Offer]:
    """Return the VMs that have ports, by the names that nova-events has; others by their ids.

    Neutron has their ids alone, and to ask each host would take longer.
    """
    deadline = _deadline()
    # It is on its way while Docker and Neutron are asked.
    with closing(connect(container_name(lab, _EVENTS), answer_s=ANSWER_S)) as stream:
        there = _Lab(lab, containers(_left(deadline)))
        found = _ports(there, deadline)
        owned = [one.device_id for one in found if one.device_owner and one.device_id]
        ids = list(dict.fromkeys(owned))
        if there.home == lab:
            names = _names(stream, ids, deadline)
        else:
            with closing(connect(container_name(there.home, _EVENTS), answer_s=ANSWER_S)) as stream:
                names = _names(stream, ids, deadline)
    return _called({one: names.get(one, "") for one in ids}, begun)


def _called(
    names: Mapping[str, str], begun: str, about: Mapping[str, str] | None = None
) -> list[Offer]:
    """Return what things are called, by id: names that only one has, and ids.

    An id is offered where there is no such name, or where it is begun.
    """
    often = Counter(names.values())
    offers = []
    for id_, name in names.items():
        told = (about or {}).get(id_, "")
        named = bool(name) and often[name] == 1 and name != id_
        if named:
            offers.append(Offer(name, told))
        if not named or begun:
            offers.append(Offer(id_, f"{name} {told}".strip()))
    return offers


def _names(stream: Inside, ids: Sequence[str], deadline: float) -> dict[str, str]:
    """Return the names of VMs by id, as far as nova-events knows and tells them.

    By one line there and back, since clients.events takes as long to import as to ask.
    """
    params = {"instance_ids": ids[:_MOST]}
    request = {"jsonrpc": "2.0", "id": 1, "method": "servers", "params": params}
    with suppress(OSError, ValueError, LookupError, WaitTimeoutError):
        stream.write(json.dumps(request).encode() + b"\n")
        told = json.loads(read(stream, deadline, until=b"\n"))["result"]["servers"]
        return {instance_id: str(server["name"]) for instance_id, server in told.items()}
    return {}


def _ports(lab: _Lab, deadline: float) -> list[_Port]:
    found = _answered(shortcut.asking.ports(lab.api_port, fields=_PORT, timeout_s=_left(deadline)))
    made = (_Port(*(str(one.get(name) or "") for name in _PORT)) for one in found)
    return [port for port in made if may_be_a_vms(port)]


def _answered(found: list[Mapping[str, Any]] | None) -> list[Mapping[str, Any]]:
    if found is None:
        # With Keystone it wants to know who asks, which would take longer than who waits has.
        raise UnavailableError("Neutron does not say it")
    return found


def _deadline() -> float:
    return time.monotonic() + ANSWER_S


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())
