"""Which thing each of Neutron's objects is, by its id: pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from fakevm.inventory import vifs
from fakevm.stock.raw import Found, Raw
from fakevm.stock.things import DESCRIPTION, TAG, Kind, Ref, Thing, ref

# Of the kinds that have a name of their own, the collections.
NAMED: Mapping[Kind, str] = {
    "network": "networks",
    "router": "routers",
    "security_group": "security_groups",
    "qos_policy": "policies",
    "trunk": "trunks",
}


class Names:
    """Gives everything its name; what nothing else names has the name of what is wanted."""

    def __init__(self, raw: Raw, wanted: Sequence[Thing]) -> None:
        self._raw = raw
        self._wanted = wanted
        self.refs: dict[str, Ref] = {}
        # Of which kinds there are several with one name.
        self.ambiguous: set[Ref] = set()
        for kind, collection in NAMED.items():
            self._name(kind, raw.found[collection])
        self._name_subnets()
        # VMs' names by their ids; without a name an id is one.
        self.vms = self._name_vms()
        self._name_ports()

    def of(self, object_id: str | None) -> Ref | None:
        """Return what has an id; of another project's, one that no file names."""
        if not object_id:
            return None
        return self.refs.get(object_id) or ref("network", f"id {object_id}")

    def _name(self, kind: Kind, rows: Iterable[Found]) -> None:
        """Give each its name; of several with one name, the file's own, or the oldest."""
        by_name: dict[str, list[Found]] = defaultdict(list)
        for row in rows:
            by_name[row["name"]].append(row)
        for name, same in by_name.items():
            same.sort(key=precedence)
            for place, row in enumerate(same):
                self.refs[row["id"]] = ref(kind, name if name and not place else row["id"])
            if len(same) > 1 or not name:
                self.ambiguous.add(ref(kind, name))

    def _name_subnets(self) -> None:
        for row in self._raw.found["subnets"]:
            if network := self.refs.get(row["network_id"]):
                self.refs[row["id"]] = ref("subnet", *network.names, row["cidr"])

    def _name_vms(self) -> dict[str, str]:
        """Return the names of VMs by their ids; without a name an id is one."""
        asked = [one.ref.names[0] for one in self._wanted if one.ref.kind == "vm"]
        known = {vifs.vm_of(name).instance_id: name for name in asked}
        plugged = (vif for here in self._raw.vifs.values() for vif in here)
        known |= {vif.instance_id: vif.vm_name or vif.instance_id for vif in plugged}
        return {
            str(port["device_id"]): known.get(port["device_id"], str(port["device_id"]))
            for port in self._raw.found["ports"]
            if port["device_id"]
            and (port["device_owner"].startswith("compute:") or not port["device_owner"])
        }

    def _name_ports(self) -> None:
        """Name ports of no VM's: by their trunk, or by what is wanted."""
        wanted = {one.made_with["name"]: one.ref for one in self._wanted if one.ref.kind == "port"}
        ports = {one["id"]: one for one in self._raw.found["ports"]}
        for trunk in self._raw.found["trunks"]:
            for sub in trunk["sub_ports"]:
                port = ports.get(sub["port_id"])
                if port is not None:
                    name = self.refs[trunk["id"]].names[0]
                    called = port["name"] or port["id"]
                    self.refs[port["id"]] = wanted.get(called, ref("port", name, called))
        for port in sorted(ports.values(), key=lambda one: one.get("created_at") or ""):
            free = not port["device_id"] and port["id"] not in self.refs
            if free and port["name"] in wanted and wanted[port["name"]] not in self.refs.values():
                self.refs[port["id"]] = wanted[port["name"]]


def precedence(row: Found) -> tuple[bool, str, str]:
    """Return by which the first of several of one name is found: the file's own, or the oldest."""
    return not is_ours(row), row.get("created_at") or "", row["id"]


def is_ours(row: Found) -> bool:
    """Tell whether the file made it: by its tag, or where an end cut that off, its description."""
    return TAG in row.get("tags", ()) or row.get("description") == DESCRIPTION
