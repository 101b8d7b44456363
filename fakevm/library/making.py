"""Objects are made as a lab file makes them: its schema, its checks, its plan and its acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fakevm import labfile
from fakevm.contents.part import Part, only
from fakevm.contents.raw import Found
from fakevm.contents.things import Kind, Ref, ref
from fakevm.errors import ConfigError, NotFoundError, raise_all
from fakevm.lab import Lab
from fakevm.labfile.checks import DEFAULT_GROUP
from fakevm.labfile.model import LabFile
from fakevm.labfile.problems import Path
from fakevm.library.handle import Handle, plain

# Where a lab file has things of a kind.
SECTIONS: Mapping[Kind, str] = {
    "network": "networks",
    "router": "routers",
    "security_group": "security_groups",
    "vm": "vms",
}


class Making:
    """One object of a lab is made, or changed to what is asked for."""

    def __init__(self, lab: Lab, kind: Kind, name: str) -> None:
        self._lab = lab
        self._which = ref(kind, name)
        self.part = Part(lab)
        # What the object names, by id; of what has no id here, by kind and name.
        self._networks: dict[str, Found] = {}
        self._policies: set[str] = set()

    # What it names

    def network(self, wanted: Handle | str) -> str:
        """Read a network that is named, and its subnets; return its id."""
        found = self.part.networks(**_by(wanted))
        return self._beside(_one(found, "network", wanted, "fakevm openstack network list"))

    def subnet(self, wanted: Handle | str) -> str:
        """Read a network, or the one that has the subnet of this name; return its id or the name.

        As a router's interface has it.
        """
        if isinstance(wanted, Handle):
            return self.network(wanted)
        if found := self.part.networks(name=[wanted]):
            return self._beside(only(found, f"network {wanted}"))
        subnets = self.part.rows("subnets", name=[wanted])
        if not subnets:
            raise _missing("network or subnet", wanted, "fakevm openstack subnet list")
        subnet = only(subnets, f"subnet {wanted}")
        for row in self.part.networks(id=[subnet["network_id"]]):
            self._beside(row)
        return wanted

    def _beside(self, network: Found) -> str:
        self._networks[network["id"]] = network
        return str(network["id"])

    def group(self, wanted: Handle | str) -> str:
        """Read a security group that is named; return its id, or its name if that is enough."""
        if wanted == DEFAULT_GROUP or self._which == ref("security_group", str(wanted)):
            return str(wanted)
        found = self.part.rows("security_groups", **_by(wanted))
        hint = "fakevm openstack security group list"
        return str(_one(found, "security group", wanted, hint)["id"])

    def policy(self, name: str | None) -> None:
        """Read a QoS policy that is named."""
        if name is None:
            return
        found = self.part.rows("policies", name=[name])
        _one(found, "QoS policy", name, "fakevm openstack network qos policy list")
        self._policies.add(name)

    # What is made

    def make(self, words: Mapping[str, Any], *, timeout_s: float) -> str:
        """Let the lab have it as these words say; return its id.

        Ids of what was read stand in them for what it is called.
        """
        refs = self.part.names()
        called = {one: which.names[0] for one, which in refs.items()}
        file = self._file(_renamed(plain(words), called), called)
        things = [one for one in labfile.wanted.of(file) if self._which in (one.ref, one.ref.whole)]
        done = self._lab.converge(things, known=self.part.raw(), timeout_s=timeout_s)
        raise_all(done.errors)
        return done.ids.get(self._which, "")

    def _file(self, words: Mapping[str, Any], called: Mapping[str, str]) -> LabFile:
        """Return a lab file with this object, and what it names as it is."""
        kind, name = self._which.kind, self._which.names[0]
        groups = self.part.raw().found["security_groups"]
        values: dict[str, dict[str, Any]] = {
            "networks": {called[one]: self._told(row) for one, row in self._networks.items()},
            "security_groups": {called[row["id"]]: {} for row in groups},
            "qos_policies": {policy: {} for policy in self._policies},
        }
        section = SECTIONS[kind]
        values[section] = {**values.get(section, {}), name: words}
        what = "VM" if kind == "vm" else kind.replace("_", " ")
        return checked(f"{what} {name!r}", values, (section, name))

    def _told(self, row: Found) -> dict[str, Any]:
        """Return a network that is there in a file's words, as far as others depend on them."""
        subnets = [
            {
                "cidr": one["cidr"],
                "gateway_ip": one["gateway_ip"],
                **({"name": one["name"]} if one["name"] else {}),
            }
            for one in self.part.subnets_of(row["id"])
        ]
        return {
            "external": row["router:external"],
            "port_security_enabled": row.get("port_security_enabled", True),
            "subnets": subnets,
        }


def checked(what: str, values: Mapping[str, Any], own: tuple[str, ...] = ()) -> LabFile:
    """Return what a lab file's words say; ConfigError: of what, and where below `own`."""
    found = labfile.document.checked(plain(values))
    if isinstance(found, LabFile):
        return found
    first, *others = (f"{what}: {_told(path, words, own)}" for path, words in found)
    error = ConfigError(first)
    for other in others:
        error.add_note(other)
    raise error


def remove(lab: Lab, kind: Kind, object_id: str) -> None:
    """Delete an object with its parts; content if it is gone."""
    part = Part(lab)
    match kind:
        case "network":
            part.networks(id=[object_id])
        case "router":
            part.router(id=[object_id])
        case _:
            part.rows(f"{kind}s", id=[object_id])
    which: Ref | None = part.names().get(object_id)
    if which is not None:
        lab.remove(which, part.raw())


def _renamed(value: Any, called: Mapping[str, str]) -> Any:
    """Return words with names in the place of ids."""
    if isinstance(value, dict):
        return {key: _renamed(one, called) for key, one in value.items()}
    if isinstance(value, list):
        return [_renamed(one, called) for one in value]
    return called.get(value, value) if isinstance(value, str) else value


def _by(wanted: Handle | str) -> Mapping[str, list[str]]:
    return {"id": [wanted.id]} if isinstance(wanted, Handle) else {"name": [wanted]}


def _one(found: Sequence[Found], what: str, wanted: Handle | str, hint: str) -> Found:
    if not found:
        raise _missing(what, str(wanted), hint)
    return only(found, f"{what} {wanted}")


def _missing(what: str, name: str, hint: str) -> NotFoundError:
    return NotFoundError(f"there is no {what} {name!r}", hint=hint)


def _told(path: Path, words: str, own: Path) -> str:
    """Return what is wrong, and where, as Python has it: "subnets[0].cidr: …"."""
    inside = path[len(own) :] if path[: len(own)] == own else path
    place = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in inside)
    key = f"{inside[-1]}: " if inside else ""
    return f"{place.removeprefix('.')}: {words.removeprefix(key)}" if place else words
