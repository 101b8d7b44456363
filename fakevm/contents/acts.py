"""How each change of a plan is made: Neutron's calls, and VMs as every verb makes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from fakevm import migrate, vms
from fakevm.contents.change import Change
from fakevm.contents.plan import Plan
from fakevm.errors import FakevmError, NotFoundError
from fakevm.inventory.lookup import Lookup
from fakevm.migrate.request import MigrationRequest
from fakevm.neutron.values import Network, Port
from fakevm.protocol.clock import Clock
from fakevm.stock.present import Present
from fakevm.stock.things import DESCRIPTION, TAG, TAGGED, Kind, Ref, Thing, ref
from fakevm.vms.requests import AS_NOVA, PortRequest

# As many threads as Neutron's API has: more requests at once only wait there, and may take longer
# than one may take. VMs wait for L2 agents, and are not counted.
NEUTRON_AT_ONCE = 4

# How long Neutron may take for one answer, while it does so much else.
ANSWER_S = 120.0

# Neutron's path and its word in a body.
_PATHS: Mapping[Kind, tuple[str, str]] = {
    "network": ("/networks", "network"),
    "subnet": ("/subnets", "subnet"),
    "security_group": ("/security-groups", "security_group"),
    "rule": ("/security-group-rules", "security_group_rule"),
    "qos_policy": ("/qos/policies", "policy"),
    "router": ("/routers", "router"),
    "routes": ("/routers", "router"),
    "port": ("/ports", "port"),
    "nic": ("/ports", "port"),
    "trunk": ("/trunks", "trunk"),
    "floating_ip": ("/floatingips", "floatingip"),
}

# Whose names Neutron is told.
_NAMED = ("network", "security_group", "qos_policy", "router", "trunk")


class Acts:
    """Carries out changes, from many threads at once."""

    def __init__(
        self,
        lab: Lookup,
        plan: Plan,
        present: Present,
        *,
        delete_vm: Callable[[str], object],
        timeout_s: float,
    ) -> None:
        self._lab = lab
        self._plan = plan
        self._present = present
        self._delete_vm = delete_vm
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._ids = {which: one.id for which, one in present.things.items() if one.id}
        self._networks: dict[str, Network] = {}
        self._neutron = lab.neutron.traced(timeout_s=ANSWER_S)
        self._asking = threading.BoundedSemaphore(NEUTRON_AT_ONCE)

    @property
    def ids(self) -> Mapping[Ref, str]:
        """The ids of what is there."""
        return self._ids

    def carry_out(self, change: Change) -> None:
        """Make one change."""
        match change.action, change.ref.kind:
            case "tag", _:
                self._tag(change.ref)
            case "create", "vm":
                # Its NICs have made it.
                pass
            case "create", "nic":
                self._create_nic(change)
            case "create", "interface":
                self._create_interface(change)
            case "create", "sub_port":
                self._change_trunk(change, "add_subports")
            case "create", _:
                self._create(change)
            case "move", _:
                self._move(change)
            case "plug", _:
                self._plug(change)
            case "release", "nic":
                self._release_nic(change)
            case (("change" | "release"), _):
                self._change(change)
            case "delete", "interface":
                self._delete_interface(change)
            case "delete", "sub_port":
                self._change_trunk(change, "remove_subports")
            case "delete", "nic":
                self._delete_nic(change)
            case "delete", "vm":
                self._delete_whole_vm(change)
            case "delete", _:
                self._delete(change.ref)

    def _write(self, method: str, path: str, body: object = None) -> Any:
        with self._asking:
            return self._neutron.write(method, path, body)

    def _id(self, which: Ref) -> str:
        if which == ref("security_group", "default") and which not in self._ids:
            # Neutron makes it when a project asks for the first time.
            project = self._lab.neutron.project_id()
            found = self._lab.neutron.security_group_id("default", project)
            with self._lock:
                self._ids[which] = found
        try:
            return self._ids[which]
        except KeyError:
            raise NotFoundError(f"{which} is not there") from None

    def _keep(self, which: Ref, object_id: str) -> None:
        with self._lock:
            self._ids[which] = object_id

    def _body(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return attributes with ids in the place of what they name; what is ours alone is not."""
        return {
            name: self._resolved(value)
            for name, value in values.items()
            if not name.startswith("_")
        }

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self._id(value)
        if isinstance(value, Mapping):
            return {name: self._resolved(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._resolved(one) for one in value]
        return value

    def _path(self, which: Ref) -> tuple[str, str]:
        if which.kind == "qos_rule":
            policy = self._id(ref("qos_policy", which.names[0]))
            return f"/qos/policies/{policy}/{which.names[1]}_rules", f"{which.names[1]}_rule"
        return _PATHS[which.kind]

    # Neutron's objects

    def _create(self, change: Change) -> None:
        which, wanted = change.ref, change.wanted
        assert wanted
        if which.kind == "routes":
            self._change(change)
            return
        path, word = self._path(which)
        body = self._body({**_said(wanted), **wanted.made_with})
        if which.kind in _NAMED:
            body["name"] = which.names[0]
        if which.kind == "rule":
            body["security_group_id"] = self._id(ref("security_group", which.names[0]))
        if which.kind in TAGGED:
            body["description"] = DESCRIPTION
        made = self._write("POST", path, {word: body})[word]
        self._keep(which, made["id"])
        if which.kind in TAGGED:
            self._tag(which)
        if which.kind == "security_group" and not wanted.made_with["_default_rules"]:
            for rule in made["security_group_rules"]:
                self._write("DELETE", f"/security-group-rules/{rule['id']}")

    def _change(self, change: Change) -> None:
        which = change.ref
        if which.kind == "routes":
            self._keep(which, self._id(ref("router", *which.names)))
        path, word = self._path(which)
        body = {word: self._body(change.attributes)}
        self._write("PUT", f"{path}/{self._id(which)}", body)
        if change.present and which.kind in TAGGED and not change.present.tagged:
            self._tag(which)

    def _delete(self, which: Ref) -> None:
        path, _ = self._path(which)
        with suppress(NotFoundError):
            self._write("DELETE", f"{path}/{self._id(which)}")

    def _tag(self, which: Ref) -> None:
        path = f"/{TAGGED[which.kind]}/{self._id(which)}/tags/{TAG}"
        self._write("PUT", path)

    def _create_interface(self, change: Change) -> None:
        wanted = change.wanted
        assert wanted
        body = {"subnet_id": self._id(wanted.made_with["subnet_id"])}
        port_id = ""
        if not wanted.made_with["_at_gateway"]:
            ip = {**body, "ip_address": wanted.attributes["ip_address"]}
            network = self._id(wanted.made_with["network_id"])
            port = {"network_id": network, "fixed_ips": [ip], "description": DESCRIPTION}
            port_id = self._write("POST", "/ports", {"port": port})["port"]["id"]
            body = {"port_id": port_id}
        router = self._id(ref("router", change.ref.names[0]))
        path = f"/routers/{router}/add_router_interface"
        try:
            self._write("PUT", path, body)
        except FakevmError:
            if port_id:
                self._lab.neutron.delete_port(port_id)
            raise

    def _delete_interface(self, change: Change) -> None:
        there = change.present
        assert there
        router = self._id(ref("router", change.ref.names[0]))
        body = {"subnet_id": self._id(there.made_with["subnet_id"])}
        with suppress(NotFoundError):
            self._write("PUT", f"/routers/{router}/remove_router_interface", body)

    def _change_trunk(self, change: Change, verb: str) -> None:
        thing = change.wanted or change.present
        assert thing
        sub = {
            "port_id": self._id(thing.attributes["port_id"]),
            "segmentation_type": "vlan",
            "segmentation_id": int(change.ref.names[1]),
        }
        if verb == "remove_subports":
            sub = {"port_id": sub["port_id"]}
        trunk = self._id(ref("trunk", change.ref.names[0]))
        self._write("PUT", f"/trunks/{trunk}/{verb}", {"sub_ports": [sub]})

    # VMs

    def _network(self, which: Ref) -> Network:
        """Return a network with its subnets, which are there by now; Neutron is asked once."""
        network_id = self._id(which)
        if network_id not in self._networks:
            self._networks[network_id] = self._lab.neutron.network(network_id)
        return self._networks[network_id]

    def _create_nic(self, change: Change) -> None:
        which, wanted = change.ref, change.wanted
        assert wanted
        vm, name = which.names[:2]
        if parent := wanted.made_with.get("_port"):
            port = self._lab.neutron.port(self._id(parent))
            self._attach(port, vm, wanted)
            self._keep(which, port.id)
            return
        body = self._body(_said(wanted))
        request = PortRequest(
            network=body.pop("network_id"),
            instance=vm,
            host=self._plan.hosts[vm],
            name=name,
            vnic_type=body.pop("binding:vnic_type"),
            fixed_ips=tuple(ip["ip_address"] for ip in body.pop("fixed_ips", ())),
            addressing=wanted.attributes["_addressing"],
            attributes={**body, "description": DESCRIPTION},
        )
        network = self._network(wanted.attributes["network_id"])
        clock = Clock(self._lab.neutron, start=time.monotonic())
        made = vms.ports.create(
            *(self._lab, request, network),
            plugging=AS_NOVA,
            timeout_s=self._timeout_s,
            clock=clock,
        )
        self._keep(which, made.row.port_id)
        self._tag(which)

    def _delete_nic(self, change: Change) -> None:
        port_id = self._id(change.ref)
        try:
            port = self._lab.neutron.port(port_id)
        except NotFoundError:
            return
        # A trunk keeps its parent until it is gone.
        keep = port_id in self._parents()
        if port.host:
            vms.attach.detach(self._lab, port, keep=keep, timeout_s=self._timeout_s)
        if not keep:
            self._lab.neutron.delete_port(port_id)

    def _release_nic(self, change: Change) -> None:
        port = self._lab.neutron.port(self._id(change.ref))
        if port.host:
            vms.attach.detach(self._lab, port, keep=True, timeout_s=self._timeout_s)

    def _delete_whole_vm(self, change: Change) -> None:
        vm = change.ref.names[0]
        with suppress(NotFoundError):
            self._delete_vm(vm)
        parents = self._parents()
        for which, one in self._present.things.items():
            # What was given to the VM is left unbound; a trunk keeps its parent until it is gone.
            if which.kind == "nic" and which.names[0] == vm and one.ours and one.id not in parents:
                self._lab.neutron.delete_port(one.id)

    def _parents(self) -> frozenset[str]:
        """Return the ids of ports that are more than a VM's NIC."""
        things = self._present.things.items()
        return frozenset(one.id for which, one in things if which.kind == "port")

    def _move(self, change: Change) -> None:
        vm = change.ref.names[0]
        gone = {one.ref for one in self._plan.changes if one.action == "delete"}
        nics = (
            one
            for which, one in self._present.things.items()
            if which.kind == "nic" and which.names[0] == vm and which not in gone
        )
        nic = next(nics, None)
        if nic is None:
            # It ended with its last NIC, and boots there with its first.
            return
        request = MigrationRequest(destination=self._plan.hosts[vm], timeout_s=self._timeout_s)
        port = self._lab.neutron.port(nic.id)
        migrate.run.migrate(self._lab, port, request, on_step=lambda _step: None)

    def _plug(self, change: Change) -> None:
        wanted = change.wanted
        assert wanted
        port = self._lab.neutron.port(self._id(change.ref))
        vm = change.ref.names[0]
        if not port.bound:
            self._attach(port, vm, wanted)
            return
        vms.ports.plug(
            *(self._lab, port),
            host=self._plan.hosts[vm],
            addressing=wanted.attributes["_addressing"],
            plugging=AS_NOVA,
            timeout_s=self._timeout_s,
        )

    def _attach(self, port: Port, vm: str, wanted: Thing) -> None:
        vms.attach.attach(
            *(self._lab, port, vm),
            host=self._plan.hosts[vm],
            addressing=wanted.attributes["_addressing"],
            plugging=AS_NOVA,
            timeout_s=self._timeout_s,
        )


def _said(wanted: Thing) -> dict[str, Any]:
    """Return what Neutron is told of a new thing: not what it has without a word.

    The words of an extension that is not loaded Neutron takes for no attributes.
    """
    usual = {
        "qos_policy_id": None,
        "allowed_address_pairs": [],
        # A port has it as its network.
        "port_security_enabled": wanted.made_with.get("_port_security", True),
    }
    return {
        name: value
        for name, value in wanted.attributes.items()
        if name not in usual or value != usual[name]
    }
