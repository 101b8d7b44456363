"""Objects are made as a lab file makes them: its schema, its checks, its plan and its acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fakevm import labfile, stock
from fakevm.contents.part import Part, only
from fakevm.errors import ConfigError, ConflictError, NotFoundError, raise_all
from fakevm.inventory import vifs
from fakevm.lab import Lab
from fakevm.labfile.checks import DEFAULT_GROUP
from fakevm.labfile.model import LabFile
from fakevm.labfile.problems import Path
from fakevm.library.handle import Handle, plain
from fakevm.neutron.values import Port
from fakevm.stock.raw import Found
from fakevm.stock.things import Kind, Ref, Thing, refs_in

# Where a lab file has things of a kind.
SECTIONS: Mapping[Kind, str] = {
    "network": "networks",
    "router": "routers",
    "security_group": "security_groups",
    "qos_policy": "qos_policies",
    "vm": "vms",
    "trunk": "trunks",
    "floating_ip": "floating_ips",
}

# In an error's words, where these are not the kind's.
_CALLED: Mapping[Kind, str] = {
    "qos_policy": "QoS policy",
    "vm": "VM",
    "floating_ip": "floating IP of",
}


class Making:
    """One object of a lab is made, or changed to what is asked for."""

    def __init__(self, lab: Lab, kind: Kind, name: str) -> None:
        """`name`: its key in a lab file."""
        self._lab = lab
        self._kind = kind
        self._name = name
        self.part = Part(lab)
        # What the object names: networks by id, VMs by name.
        self._networks: dict[str, Found] = {}
        self._vms: dict[str, Any] = {}

    # What it names

    def network(self, wanted: Handle | str) -> str:
        """Read a network that is named, and its subnets; return its id."""
        found = self.part.networks(**_by(wanted))
        return self._beside(_one(found, "network", wanted, "fakevm openstack network list"))

    def subnet(self, wanted: Handle | str) -> str:
        """Read a network, or the one that has the subnet of this name or CIDR; return its id or it.

        As a router's interface has it.
        """
        if isinstance(wanted, Handle):
            return self.network(wanted)
        if found := self.part.networks(name=[wanted]):
            return self._beside(only(found, f"network {wanted}"))
        subnets = self.part.rows("subnets", name=[wanted])
        if not subnets and "/" in wanted:
            subnets = self.part.rows("subnets", cidr=[wanted])
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
        own = (self._kind, self._name) == ("security_group", str(wanted))
        if wanted == DEFAULT_GROUP or own:
            return str(wanted)
        found = self.part.rows("security_groups", **_by(wanted))
        hint = "fakevm openstack security group list"
        return str(_one(found, "security group", wanted, hint)["id"])

    def policy(self, wanted: Handle | str) -> str:
        """Read a QoS policy that is named; return its id."""
        found = self.part.rows("policies", **_by(wanted))
        hint = "fakevm openstack network qos policy list"
        return str(_one(found, "QoS policy", wanted, hint)["id"])

    def port(self, words: Mapping[str, Any]) -> dict[str, Any]:
        """Read what a port's words name; return them with ids."""
        said = {**words, "network": self.network(words["network"])}
        if words.get("security_groups") is not None:
            said["security_groups"] = [self.group(one) for one in words["security_groups"]]
        if words.get("qos_policy"):
            said["qos_policy"] = self.policy(words["qos_policy"])
        return said

    def nic(self, wanted: Handle | Port | str) -> str:
        """Read a VM's NIC, and its VM; return what a lab file calls it.

        By its port, its port's name, or the VM that has no other one.
        """
        ports = self._nics(wanted)
        if not ports:
            name = wanted.name or wanted.id if isinstance(wanted, Port) else str(wanted)
            raise _missing("NIC or VM", name, "fakevm list")
        if len(ports) > 1:
            known = ", ".join(row["name"] or row["id"] for row in ports)
            raise ConflictError(f"VM {wanted} has several ports: {known}", hint="Vm.ports")
        (port,) = ports
        self.part.vm(port["device_id"])
        things = stock.present.of(self.part.raw()).things
        (mine,) = (one for one in things if one.kind == "nic" and things[one].id == port["id"])
        nics = [things[one] for one in things if one.whole == mine.whole and one.kind == "nic"]
        for row in self.part.networks(id=[self._network_of(nic) for nic in nics]):
            self._beside(row)
        vm = mine.names[0]
        self._vms[vm] = {
            "nics": [{"network": self._network_of(nic), "name": nic.ref.names[1]} for nic in nics]
        }
        return mine.names[1] or vm

    def of_nic(self, wanted: Handle | Port | str) -> None:
        """Read a NIC whose floating IP is made, and those that its VM has."""
        self._name = self.nic(wanted)
        ports = [row["id"] for row in self.part.raw().found["ports"]]
        self.part.rows("floatingips", port_id=ports)

    def _nics(self, wanted: Handle | Port | str) -> list[Found]:
        """Return the ports of VMs that are meant."""
        if isinstance(wanted, Port):
            found = self.part.rows("ports", id=[wanted.id])
        elif isinstance(wanted, Handle):
            found = self.part.rows("ports", device_id=[wanted.id])
        else:
            found = self.part.rows("ports", device_id=[vifs.vm_of(wanted).instance_id])
            if not found and (named := self.part.rows("ports", name=[wanted])):
                found = [only(named, f"port {wanted}")]
        return [row for row in found if row["device_id"]]

    def _network_of(self, nic: Thing) -> str:
        return next(
            str(row["network_id"]) for row in self.part.raw().found["ports"] if row["id"] == nic.id
        )

    # What is made

    def make(self, words: Mapping[str, Any], *, timeout_s: float) -> str:
        """Let the lab have it as these words say; return its id.

        Ids of what was read stand in them for what it is called.
        """
        refs = self.part.names()
        called = {one: which.names[0] for one, which in refs.items()}
        file = self._file(_renamed(plain(words), called), called)
        which, things = self._mine(labfile.wanted.of(file))
        done = self._lab.converge(things, known=self.part.raw(), timeout_s=timeout_s)
        raise_all(done.errors)
        return done.ids.get(which, "")

    def _mine(self, things: Sequence[Thing]) -> tuple[Ref, list[Thing]]:
        """Return which thing is made, and it with its parts, of all that the file has."""
        # Of floating IPs, which have a NIC's name, the file has no other one.
        which = next(
            one.ref
            for one in things
            if one.ref.kind == self._kind
            and (self._kind == "floating_ip" or one.ref.names == (self._name,))
        )
        mine = {one.ref: one for one in things if which in (one.ref, one.ref.whole)}
        carried = {
            port
            for one in mine.values()
            if one.ref.kind == "sub_port"
            for port in refs_in(one.attributes)
        }
        return which, [one for one in things if one.ref in mine or one.ref in carried]

    def _file(self, words: Mapping[str, Any], called: Mapping[str, str]) -> LabFile:
        """Return a lab file with this object, and what it names as it is."""
        found = self.part.raw().found
        values: dict[str, dict[str, Any]] = {
            "networks": {called[one]: self._told(row) for one, row in self._networks.items()},
            "security_groups": {called[row["id"]]: {} for row in found["security_groups"]},
            "qos_policies": {called[row["id"]]: {} for row in found["policies"]},
            "vms": _renamed(self._vms, called),
        }
        section, name = SECTIONS[self._kind], self._name
        values[section] = {**values.get(section, {}), name: words}
        what = _CALLED.get(self._kind, self._kind.replace("_", " "))
        return checked(f"{what} {name!r}", values, (section, name))

    def _told(self, row: Found) -> dict[str, Any]:
        """Return a network that is there in a file's words, as far as others depend on them."""
        subnets = [
            {key: one[key] for key in ("cidr", "gateway_ip", "name")}
            for one in self.part.subnets_of(row["id"])
        ]
        return {
            "external": row["router:external"],
            "port_security_enabled": row.get("port_security_enabled", True),
            "subnets": subnets,
        }


def checked(what: str, values: Mapping[str, Any], own: tuple[str, ...] = ()) -> LabFile:
    """Return what a lab file's words say; ConfigError: of what, and where below `own`.

    What stands beside that is there, and as Neutron lets it be.
    """
    found = labfile.document.checked(plain(values), about=own)
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
        case "trunk":
            part.trunk(id=[object_id])
        case "qos_policy":
            part.rows("policies", id=[object_id])
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
