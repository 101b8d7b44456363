"""Neutron without Neutron, with all that a lab file makes: what is sent comes back in lists."""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from fakevm.errors import ConfigError, ConflictError, NotFoundError
from fakevm.neutron.values import Network, Port, Subnet
from tests.fakes.host import FakeHost
from tests.fakes.neutron import FakeNeutron

Row = dict[str, Any]

PROJECT = "project"

_MEMBERS = {
    "networks": "network",
    "subnets": "subnet",
    "routers": "router",
    "security-groups": "security_group",
    "security-group-rules": "security_group_rule",
    "trunks": "trunk",
    "floatingips": "floatingip",
    "ports": "port",
}

_DEFAULTS: Mapping[str, Row] = {
    "networks": {
        "mtu": 1450,
        "provider:network_type": "vxlan",
        "provider:physical_network": None,
        "provider:segmentation_id": 1000,
    },
    "subnets": {"ipv6_address_mode": None, "ipv6_ra_mode": None},
    "routers": {"ha": False, "distributed": False, "routes": []},
    "trunks": {"sub_ports": []},
    "floatingips": {"fixed_ip_address": None},
    "policies": {"rules": []},
}

# What Neutron has by its extensions alone, and what it is where nothing is said.
_EXTENSIONS: Mapping[str, Any] = {"port_security_enabled": True, "qos_policy_id": None}


class FakeCloud(FakeNeutron):
    """Knows no quota and no race; refuses what it does not know, and what is in use."""

    def __init__(self, hosts: Mapping[str, FakeHost]) -> None:
        super().__init__(hosts)
        self.networks = {}
        self.rows: dict[str, dict[str, Row]] = {
            kind: {} for kind in (*_MEMBERS, "policies") if kind not in ("ports",)
        }
        # By port.
        self.more: dict[str, Row] = {}
        # Collections of plug-ins that are not loaded.
        self.lacked = {"address-groups"}
        # Attributes of extensions that are not loaded.
        self.unknown: set[str] = set()
        self.tags: dict[str, list[str]] = {}
        # In order.
        self.asked: list[str] = []
        self._count = itertools.count(1)
        self._default = self._new_group("default")
        group = self.rows["security-groups"][self._default]
        for version in ("IPv4", "IPv6"):
            self._rule(
                {
                    "direction": "ingress",
                    "ethertype": version,
                    "security_group_id": group["id"],
                    "remote_group_id": group["id"],
                }
            )

    # What is asked

    def answer(self, path: str) -> Mapping[str, Any]:
        self.asked.append(path)
        whole, _, query = path.partition("?")
        kind, _, object_id = whole.strip("/").removeprefix("qos/").partition("/")
        if kind in self.lacked:
            raise NotFoundError("Neutron: the resource could not be found")
        if kind == "ports":
            rows = [self._port_row(port) for port in self.ports_by_id.values()]
        else:
            rows = [{**r, "tags": self.tags.get(r["id"], [])} for r in self.rows[kind].values()]
        if object_id:
            member = "policy" if kind == "policies" else _MEMBERS[kind]
            for row in rows:
                if row["id"] == object_id:
                    return {member: row}
            raise NotFoundError(f"there is no {member} {object_id}")
        for key, values in parse_qs(query).items():
            if key != "fields":
                rows = [row for row in rows if row[key] in values]
        return {kind.replace("-", "_"): rows}

    def project_id(self, ref: str | None = None) -> str:
        return ref or PROJECT

    def security_group_id(self, ref: str, project_id: str) -> str:
        assert ref == "default"
        return self._default

    def _port_row(self, port: Port) -> Row:
        return {
            "id": port.id,
            "name": port.name,
            "project_id": PROJECT,
            "network_id": port.network_id,
            "device_id": port.device_id,
            "device_owner": port.device_owner,
            "mac_address": port.mac_address,
            "admin_state_up": port.admin_state_up,
            "fixed_ips": [vars(ip) for ip in port.fixed_ips],
            "binding:host_id": port.host,
            "binding:vnic_type": port.vnic_type,
            "security_groups": [self._default],
            "created_at": port.id,
            "tags": self.tags.get(port.id, []),
            **self._trunk_details(port.id),
            **self.more.get(port.id, {}),
            "allowed_address_pairs": [
                {"mac_address": port.mac_address, **pair}
                for pair in self.more.get(port.id, {}).get("allowed_address_pairs", ())
            ],
        }

    def _trunk_details(self, port_id: str) -> Row:
        """Return what a trunk's parent says of it; of other ports nothing."""
        for one in self.rows["trunks"].values():
            if one["port_id"] == port_id:
                subports = one["sub_ports"]
                return {"trunk_details": {"trunk_id": one["id"], "sub_ports": subports}}
        return {}

    def _network_row(self, network_id: str) -> Row:
        return self.rows["networks"].get(network_id, {})

    def _extended(self, network: Row) -> Row:
        """Return what extensions add: to a port port security as its network has it."""
        secure = {name: network[name] for name in network if name == "port_security_enabled"}
        known = {**_EXTENSIONS, **secure}
        return {name: value for name, value in known.items() if name not in self.unknown}

    def _check_known(self, body: Mapping[str, Any]) -> None:
        if unknown := self.unknown & body.keys():
            raise ConfigError(f"Neutron: Unrecognized attribute(s) {', '.join(sorted(unknown))}")

    # What is changed

    def create_port(self, body: Mapping[str, Any]) -> Port:
        self._check_known(body)
        known = {key: value for key, value in body.items() if key not in _MORE}
        made = super().create_port(known)
        # It keeps what its network has now.
        more = self._extended(self._network_row(made.network_id))
        self.more[made.id] = more | {key: one for key, one in body.items() if key in _MORE}
        if mac := self.more[made.id].pop("mac_address", None):
            made = self.ports_by_id[made.id] = replace(made, mac_address=mac)
        return made

    def delete_port(self, port_id: str) -> None:
        for trunk in self.rows["trunks"].values():
            used = [trunk["port_id"], *(sub["port_id"] for sub in trunk["sub_ports"])]
            if port_id in used and port_id in self.ports_by_id:
                raise ConflictError(f"Neutron: port {port_id} is in a trunk")
        for row in self.rows["floatingips"].values():
            if row["port_id"] == port_id:
                row |= {"port_id": None, "fixed_ip_address": None}
        super().delete_port(port_id)

    def write(self, method: str, path: str, body: object = None) -> Any:
        self._write(f"{method} {re.sub('[0-9a-f-]{36}', 'ID', path)}", path)
        words = path.strip("/").split("/")
        if words[0] == "qos":
            return self._qos(method, words[2:], body)
        kind = words[0]
        if len(words) == 4 and words[2] == "tags":
            self._one(kind, words[1])
            self.tags.setdefault(words[1], []).append(words[3])
            return {}
        if words[0] == "policies":
            raise NotFoundError("Neutron: no such collection")
        assert isinstance(body, dict | None)
        if len(words) == 3:
            return self._verb(words[1], words[2], body or {})
        member = _MEMBERS[kind]
        match method:
            case "POST":
                # Whoever asked keeps what was answered.
                return {member: deepcopy(self._create(kind, dict((body or {})[member])))}
            case "PUT":
                return {member: self._update(kind, words[1], (body or {})[member])}
            case "DELETE":
                return self._delete(kind, words[1])
        raise AssertionError(f"{method} {path}")

    def _one(self, kind: str, object_id: str) -> Row:
        if kind == "ports":
            self.port(object_id)
            return {}
        if object_id not in self.rows[kind]:
            raise NotFoundError(f"Neutron: {kind} {object_id} could not be found")
        return self.rows[kind][object_id]

    def _id(self) -> str:
        return f"0b1ec700-0000-4000-8000-{next(self._count):012d}"

    def _create(self, kind: str, body: Row) -> Row:
        if kind == "ports":
            return self._port_row(self.create_port(body))
        if kind == "security-groups":
            object_id = self._new_group(body["name"])
            row = self.rows[kind][object_id]
            row |= body
            return row
        if kind == "security-group-rules":
            return self._rule(body)
        defaults = {
            key: list(one) if isinstance(one, list) else one
            for key, one in _DEFAULTS.get(kind, {}).items()
        }
        self._check_known(body)
        if kind == "networks":
            self._check_segment(body)
            defaults |= self._extended({})
        if kind == "trunks":
            self._check_unbound(body["port_id"])
        row = {"id": self._id(), "name": "", "project_id": PROJECT, **defaults, **body}
        self.rows[kind][row["id"]] = row
        match kind:
            case "networks":
                self.networks[row["name"]] = Network(id=row["id"], name=row["name"], mtu=row["mtu"])
            case "subnets":
                self._add_subnet(row)
            case "routers" if row["external_gateway_info"]:
                row["external_gateway_info"].setdefault("external_fixed_ips", [])
            case "floatingips":
                row |= self._end(row)
                row.setdefault("floating_ip_address", f"172.24.0.{next(self._count)}")
        return row

    def _add_subnet(self, row: Row) -> None:
        whole = ipaddress.ip_network(row["cidr"])
        row.setdefault("gateway_ip", str(whole[0] + (whole.version == 4)))
        row.setdefault("allocation_pools", _pools(row))
        network = self.network(row["network_id"])
        subnet = Subnet(
            id=row["id"],
            name=row["name"],
            cidr=row["cidr"],
            ip_version=row["ip_version"],
            gateway_ip=row["gateway_ip"],
            enable_dhcp=row["enable_dhcp"],
        )
        self.networks[network.name] = replace(network, subnets=(*network.subnets, subnet))

    def _update(self, kind: str, object_id: str, body: Row) -> Row:
        self._check_known(body)
        if kind == "ports":
            self.more.setdefault(object_id, {}).update(body)
            return {}
        row = self._one(kind, object_id)
        if kind == "routers":
            self._check_router(row, body)
        if kind == "subnets":
            self._check_subnet(row, {**row, **body})
        if kind == "floatingips":
            body = {**body, **self._end(body)}
        row |= body
        if kind == "routers" and row["external_gateway_info"]:
            row["external_gateway_info"].setdefault("external_fixed_ips", [])
        return row

    def _end(self, body: Row) -> Row:
        """Return where a floating IP leads by what is sent."""
        address = body.get("fixed_ip_address")
        if not body.get("port_id"):
            if address:
                raise ConfigError("Neutron: fixed_ip_address cannot be specified without a port_id")
            return {"port_id": None, "fixed_ip_address": None} if "port_id" in body else {}
        ips = [ip.ip_address for ip in self.port(body["port_id"]).fixed_ips]
        ipv4 = [ip for ip in ips if ":" not in ip]
        if address not in (None, *ips):
            raise ConfigError(f"Neutron: the port does not have fixed ip {address}")
        if address is None and len(ipv4) != 1:
            raise ConfigError(f"Neutron: the port has {len(ipv4)} fixed IPv4 addresses")
        return {"fixed_ip_address": address or ipv4[0]}

    def _check_segment(self, body: Row) -> None:
        words = [f"provider:{word}" for word in ("network_type", "physical_network")]
        words += [word for word in body if word == "provider:segmentation_id"]
        said = {word: body.get(word) for word in words}
        for row in self.rows["networks"].values():
            if said[words[0]] and said.items() <= row.items():
                raise ConflictError(f"Neutron: network {row['name']} has this segment: {said}")

    def _check_subnet(self, before: Row, after: Row) -> None:
        gateway = after["gateway_ip"]
        if gateway == before["gateway_ip"]:
            return
        for port in self.ports_by_id.values():
            for ip in port.fixed_ips:
                used = (ip.subnet_id, ip.ip_address) == (before["id"], before["gateway_ip"])
                if used and port.device_owner == "network:router_interface":
                    raise ConflictError(f"Neutron: gateway {ip.ip_address} is in use")
        for pool in after["allocation_pools"]:
            start, end = (ipaddress.ip_address(pool[one]) for one in ("start", "end"))
            if gateway and int(start) <= int(ipaddress.ip_address(gateway)) <= int(end):
                raise ConflictError(f"Neutron: gateway {gateway} conflicts with pool {pool}")

    def _check_router(self, row: Row, body: Row) -> None:
        before = (row["external_gateway_info"] or {}).get("network_id")
        after = (body.get("external_gateway_info", row["external_gateway_info"]) or {}).get(
            "network_id"
        )
        ports = [one for one in self.ports_by_id.values() if one.device_id == row["id"]]
        networks = {port.network_id for port in ports}
        for one in self.rows["floatingips"].values():
            behind = one["port_id"] and self.port(one["port_id"]).network_id in networks
            if behind and one["floating_network_id"] == before != after:
                raise ConflictError(f"Neutron: gateway of router {row['id']} is in use")
        subnets = self.rows["subnets"].values()
        on = {ip.subnet_id for port in ports for ip in port.fixed_ips}
        cidrs = [s["cidr"] for s in subnets if s["id"] in on or s["network_id"] == after]
        for route in body.get("routes", ()):
            hop = ipaddress.ip_address(route["nexthop"])
            if not any(hop in ipaddress.ip_network(cidr) for cidr in cidrs):
                raise ConfigError(f"Neutron: {hop} is on no network of router {row['id']}")

    def _delete(self, kind: str, object_id: str) -> None:
        self._one(kind, object_id)
        if kind == "ports":
            self.delete_port(object_id)
            return
        if kind == "networks":
            row = self._one(kind, object_id)
            ports = [one for one in self.ports_by_id.values() if one.network_id == object_id]
            if ports:
                raise ConflictError(f"Neutron: network {object_id} is in use")
            del self.networks[row["name"]]
            subnets = self.rows["subnets"]
            self.rows["subnets"] = {
                k: one for k, one in subnets.items() if one["network_id"] != object_id
            }
        if kind == "routers" and any(
            port.device_id == object_id for port in self.ports_by_id.values()
        ):
            raise ConflictError(f"Neutron: router {object_id} is in use")
        if kind == "security-groups" and any(
            object_id in more.get("security_groups", ())
            for port_id, more in self.more.items()
            if port_id in self.ports_by_id
        ):
            raise ConflictError(f"Neutron: security group {object_id} is in use")
        if kind == "trunks":
            parent = self._one(kind, object_id)["port_id"]
            if parent in self.ports_by_id:
                self._check_unbound(parent)
        if kind == "security-groups":
            for rule in list(self.rows[kind][object_id]["security_group_rules"]):
                self._delete("security-group-rules", rule["id"])
        if kind == "security-group-rules":
            rule = self.rows[kind][object_id]
            group = self.rows["security-groups"][rule["security_group_id"]]
            group["security_group_rules"].remove(rule)
        del self.rows[kind][object_id]

    def _check_unbound(self, port_id: str) -> None:
        """As ML2/OVS: a trunk comes and goes while no host has its parent."""
        if self.port(port_id).host:
            raise ConflictError(f"Neutron: port {port_id} is bound, it can't be a trunk's")

    def _verb(self, object_id: str, verb: str, body: Row) -> Row:
        match verb:
            case "add_router_interface":
                self._one("routers", object_id)
                if "port_id" in body:
                    port = self.port(body["port_id"])
                else:
                    subnet = self._one("subnets", body["subnet_id"])
                    ip = {"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}
                    made = {"network_id": subnet["network_id"], "fixed_ips": [ip]}
                    port = super().create_port(made)
                self.ports_by_id[port.id] = replace(
                    port, device_id=object_id, device_owner="network:router_interface"
                )
            case "remove_router_interface":
                cidr = ipaddress.ip_network(self._one("subnets", body["subnet_id"])["cidr"])
                hops = [one["nexthop"] for one in self._one("routers", object_id)["routes"]]
                if any(ipaddress.ip_address(hop) in cidr for hop in hops):
                    raise ConflictError(f"Neutron: a route of router {object_id} needs it")
                for port in list(self.ports_by_id.values()):
                    ids = [ip.subnet_id for ip in port.fixed_ips]
                    if port.device_id == object_id and body["subnet_id"] in ids:
                        del self.ports_by_id[port.id]
            case "add_subports":
                self._one("trunks", object_id)["sub_ports"] += body["sub_ports"]
            case "remove_subports":
                trunk = self._one("trunks", object_id)
                gone = {one["port_id"] for one in body["sub_ports"]}
                left = [one for one in trunk["sub_ports"] if one["port_id"] not in gone]
                trunk["sub_ports"] = left
            case _:
                raise AssertionError(verb)
        return {}

    def _qos(self, method: str, words: list[str], body: Any) -> Any:
        policies = self.rows["policies"]
        if not words:
            row = {"id": self._id(), "project_id": PROJECT, "rules": [], **body["policy"]}
            policies[row["id"]] = row
            return {"policy": row}
        if len(words) == 1:
            if method == "DELETE":
                if words[0] not in policies:
                    raise NotFoundError(f"Neutron: QoS policy {words[0]} could not be found")
                users = (more for one, more in self.more.items() if one in self.ports_by_id)
                if words[0] in (more.get("qos_policy_id") for more in users):
                    raise ConflictError(f"Neutron: QoS policy {words[0]} is in use")
                del policies[words[0]]
            else:
                policies[words[0]] |= body["policy"]
            return {}
        rules: list[Row] = policies[words[0]]["rules"]
        kind = words[1].removesuffix("_rules")
        if method == "POST":
            rule = {"id": self._id(), "type": kind, **body[f"{kind}_rule"]}
            rules.append(rule)
            return {f"{kind}_rule": rule}
        (found,) = (one for one in rules if one["id"] == words[2])
        if method == "DELETE":
            rules.remove(found)
        else:
            found |= body[f"{kind}_rule"]
        return {}

    def _new_group(self, name: str) -> str:
        row: Row = {
            "id": self._id(),
            "name": name,
            "project_id": PROJECT,
            "stateful": True,
            "security_group_rules": [],
        }
        self.rows["security-groups"][row["id"]] = row
        for version in ("IPv4", "IPv6"):
            self._rule(
                {"direction": "egress", "ethertype": version, "security_group_id": row["id"]}
            )
        return str(row["id"])

    def _rule(self, body: Row) -> Row:
        empty = dict.fromkeys(
            (
                *("protocol", "port_range_min", "port_range_max", "remote_ip_prefix"),
                "remote_group_id",
            )
        )
        row = {"id": self._id(), **empty, **body}
        group = self.rows["security-groups"][row["security_group_id"]]
        if _rule_key(row) in map(_rule_key, group["security_group_rules"]):
            raise ConflictError(f"Neutron: a rule of group {group['id']} exists already: {body}")
        self.rows["security-group-rules"][row["id"]] = row
        group["security_group_rules"].append(row)
        return row


def _pools(subnet: Row) -> list[Row]:
    """Return a subnet's pools: of one address that, else without its gateway."""
    whole = ipaddress.ip_network(subnet["cidr"])
    gateway = ipaddress.ip_address(subnet["gateway_ip"] or whole[0])
    if whole.num_addresses == 1:
        return [{"start": str(whole[0]), "end": str(whole[0])}]
    first, last = whole[1], whole[-1 - (whole.version == 4)]
    if not int(first) <= int(gateway) <= int(last):
        return [{"start": str(first), "end": str(last)}]
    ends = [(int(first), int(gateway) - 1), (int(gateway) + 1, int(last))]
    return [
        {name: str(type(first)(one)) for name, one in (("start", a), ("end", b))}
        for a, b in ends
        if a <= b
    ]


def _rule_key(rule: Row) -> list[Any]:
    """Return by what Neutron knows a rule: anybody's address is as none."""
    anybody = ("0.0.0.0/0", "::/0")
    keys = ("direction", "ethertype", "protocol", "port_range_min", "port_range_max")
    prefix = rule["remote_ip_prefix"]
    return [rule[k] for k in keys] + [
        *(rule["remote_group_id"], None if prefix in anybody else prefix)
    ]


# What the fake of ports does not know.
_MORE = (
    *("security_groups", "port_security_enabled", "qos_policy_id", "allowed_address_pairs"),
    *("description", "mac_address", "binding:vnic_type"),
)
