"""What is there of some things alone, so that nobody reads a whole lab for one of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fakevm.clients.parts import Parts
from fakevm.errors import ConflictError, FakevmError
from fakevm.model import PluggedVif
from fakevm.reach.read import INTERFACES
from fakevm.stock.naming import Names, is_ours, precedence
from fakevm.stock.raw import KINDS, Found, Raw, is_of, open_hosts
from fakevm.stock.things import Ref


class Part:
    """Rows of Neutron's, asked for by what they are to have, each once; and VIFs of VMs' hosts."""

    def __init__(self, lab: Parts) -> None:
        self._lab = lab
        self._rows: dict[str, dict[str, Found]] = {kind: {} for kind in KINDS}
        self._vifs: dict[str, list[PluggedVif]] = {}
        self._silent: dict[str, str] = {}

    def rows(self, kind: str, **wanted: Collection[str]) -> list[Found]:
        """Return what Neutron's answers call so, "networks", with one of the values of each key."""
        if not all(wanted.values()):
            # Neutron takes a key without a value for no filter at all.
            return []
        query = [(key, value) for key, values in wanted.items() for value in sorted(set(values))]
        project = self._lab.neutron.project_id()
        found: list[Found] = [
            row
            for row in self._lab.neutron.listed_if_known(KINDS[kind], query)
            if is_of(row, project)
        ]
        self._rows[kind] |= {row["id"]: row for row in found}
        return found

    def networks(self, **wanted: Collection[str]) -> list[Found]:
        """Return networks; their subnets are read, too."""
        known = self._rows["networks"]
        ids = wanted.get("id", ())
        # Those that are known are not asked for again.
        here = [known[one] for one in ids if one in known]
        if ids:
            wanted = {"id": [one for one in ids if one not in known]}
        found = self.rows("networks", **wanted)
        self.rows("subnets", network_id=[row["id"] for row in found])
        return [*here, *found]

    def subnets_of(self, network_id: str) -> list[Found]:
        """Return a network's subnets, which are read."""
        return [one for one in self._rows["subnets"].values() if one["network_id"] == network_id]

    def router(self, **wanted: Collection[str]) -> None:
        """Read routers, and what they are on."""
        ids = [row["id"] for row in self.rows("routers", **wanted)]
        ports = [
            row
            for row in self.rows("ports", device_id=ids)
            if row["device_owner"].startswith(INTERFACES)
        ]
        self.networks(id=[row["network_id"] for row in ports])

    def group(self, **wanted: Collection[str]) -> None:
        """Read security groups, and those that their rules name."""
        groups = self.rows("security_groups", **wanted)
        remote = {rule["remote_group_id"] for row in groups for rule in row["security_group_rules"]}
        self.rows("security_groups", id=remote - {None} - self._rows["security_groups"].keys())

    def trunk(self, **wanted: Collection[str]) -> None:
        """Read trunks, what they carry, and the VMs that have them."""
        for row in self.rows("trunks", **wanted):
            self.ports(id=[one["port_id"] for one in row["sub_ports"]])
            for parent in self.ports(id=[row["port_id"]]):
                if parent["device_id"]:
                    self.vm(parent["device_id"])

    def ports(self, **wanted: Collection[str]) -> list[Found]:
        """Return ports; what they name is read, too."""
        ports = self.rows("ports", **wanted)
        self.networks(id=[row["network_id"] for row in ports])
        groups = {one for row in ports for one in row.get("security_groups") or ()}
        self.rows("security_groups", id=groups - self._rows["security_groups"].keys())
        policies = {one for row in ports if (one := row.get("qos_policy_id"))}
        self.rows("policies", id=policies - self._rows["policies"].keys())
        return ports

    def vm(self, instance_id: str) -> bool:
        """Read a VM's ports, what they name, and what its host has of it; tell whether it is."""
        ports = self.ports(device_id=[instance_id])
        for host in {str(one) for row in ports if (one := row.get("binding:host_id"))}:
            try:
                self._vifs[host] = self._lab.agent(host).vifs()
            except FakevmError as error:
                self._silent[host] = str(error)
        return bool(ports)

    def raw(self) -> Raw:
        """Return all that was read."""
        return Raw(
            found={kind: [*rows.values()] for kind, rows in self._rows.items()},
            vifs=self._vifs,
            silent=self._silent,
            hosts=open_hosts(self._lab),
        )

    def names(self) -> Mapping[str, Ref]:
        """Return which thing each of Neutron's objects is, by its id."""
        return Names(self.raw(), ()).refs


def only(rows: Collection[Found], what: str) -> Found:
    """Return the row that a name means: of several the file's; ConflictError: none is its."""
    chosen = min(rows, key=precedence)
    if len(rows) > 1 and not is_ours(chosen):
        raise ConflictError(
            f"there are several of the name {what}, and none is a file's or the library's",
            hint="rename or delete all but one of them",
        )
    return chosen
