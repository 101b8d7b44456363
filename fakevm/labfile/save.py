"""A lab as it is, in a lab file's words: pure. What it has no words for is named beside it."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fakevm.clients.engine import Engine
from fakevm.clients.parts import Parts
from fakevm.errors import ConflictError
from fakevm.labfile import checks, settings
from fakevm.recipe import decide
from fakevm.recipe.settings import Existing, Wishes
from fakevm.stock import present, raw, rules
from fakevm.stock.present import Present
from fakevm.stock.things import Kind, Ref, Thing, ref

# What Neutron gives a network by its type on a lab's wires of 1500 bytes; of those that are left
# out of a file, the lab's own type is meant.
_MTU = {"vxlan": 1450, "geneve": 1442, "gre": 1458}
_WIRE_MTU = 1500

# What says something also where it is empty.
_EMPTY = ("gateway_ip", "name", "security_groups")

_DEFAULT_RULES = {str(one) for one in rules.DEFAULTS}
_DEFAULT_GROUP = {*_DEFAULT_RULES, "ingress from default", "ingress ipv6 from default"}


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A lab in a file's words, and what these do not say."""

    values: Mapping[str, Any]
    unsaid: tuple[str, ...] = ()


def of(lab: Parts, *, engine: Engine) -> Saved:
    """Return a lab as it is, in a file's words."""
    existing = Existing()
    if not lab.joined and lab.home == lab.name:
        containers = [one for one in lab.containers if one.lab == lab.name]
        existing = decide.existing_of(lab.name, Wishes(), containers, (), engine=engine)
    own = settings.words_of(existing) if existing.containers else {}
    return saved(lab.name, own, present.of(raw.read(lab)))


def saved(lab: str, own: Mapping[str, Any], there: Present) -> Saved:
    """Return what a file says of a lab with these settings; ConflictError: names are not unique."""
    if there.ambiguous:
        names = ", ".join(sorted(f"{one.kind} {one.names[0]!r}" for one in there.ambiguous))
        raise ConflictError(
            f"names are keys in a lab file, and these are not unique, or empty: {names}",
            hint="fakevm openstack … set --name ANOTHER ID",
        )
    computes = own.get("computes")
    hosts = [f"compute-{number}" for number in range(1, computes + 1)] if computes else None
    saving = _Saving(there, hosts)
    parts = {
        "networks": saving.networks(),
        "routers": saving.routers(),
        "security_groups": saving.groups(),
        "qos_policies": saving.policies(),
        "vms": saving.vms(),
        "trunks": saving.trunks(),
        "floating_ips": saving.floating_ips(),
    }
    said = {key: value for key, value in parts.items() if value}
    return Saved(values={"name": lab, **own, **said}, unsaid=(*there.unsaid, *saving.unsaid))


class _Saving:
    def __init__(self, there: Present, hosts: Collection[str] | None) -> None:
        """hosts: those that VMs of the file may be on; None: any."""
        self._things = there.things
        self._hosts = hosts
        self.unsaid: list[str] = []

    def _of(self, kind: Kind) -> list[Thing]:
        """Return those of a kind, by name."""
        found = [one for which, one in self._things.items() if which.kind == kind]
        return sorted(found, key=lambda one: one.ref.names[0])

    def _parts(self, kind: Kind, name: str) -> list[Thing]:
        return [one for one in self._of(kind) if one.ref.names[0] == name]

    def networks(self) -> dict[str, Any]:
        """Return networks with their subnets."""
        found = {}
        for network in self._of("network"):
            name, has = network.ref.names[0], network.attributes
            kind = has["provider:network_type"]
            told: dict[str, Any] = {}
            if kind not in _MTU and kind is not None:
                told["network_type"] = kind
                told["physical_network"] = has["provider:physical_network"]
                told["segmentation_id"] = has["provider:segmentation_id"]
            if has["mtu"] != _MTU.get(kind, _WIRE_MTU):
                told["mtu"] = has["mtu"]
            told["shared"] = has["shared"] or None
            told["external"] = has["router:external"] or None
            told |= _unless(has, "admin_state_up", True)
            told |= _unless(has, "port_security_enabled", True)
            told["qos_policy"] = _name(has["qos_policy_id"])
            subnets, seen = [], Counter[str]()
            # Neutron lists them in no order, and "blue-v4" comes before "blue-v4-2".
            mine = self._parts("subnet", name)
            for subnet in sorted(mine, key=lambda one: (one.attributes["name"], one.ref)):
                subnets.append(_subnet(name, subnet, seen))
            found[name] = _said({**told, "subnets": subnets})
        return found

    def routers(self) -> dict[str, Any]:
        """Return routers with their interfaces and routes."""
        found = {}
        for router in self._of("router"):
            name, has = router.ref.names[0], router.attributes
            gateway = has["external_gateway_info"]
            routes = self._things.get(ref("routes", name))
            found[name] = _said(
                {
                    "external_gateway": gateway
                    and _said(
                        {
                            "network": _name(gateway["network_id"]),
                            **_unless(gateway, "enable_snat", True),
                            "external_fixed_ips": _ips(gateway["external_fixed_ips"]),
                        }
                    ),
                    "interfaces": self._interfaces(name),
                    "routes": list(routes.attributes["routes"]) if routes else None,
                    **_unless(has, "admin_state_up", True),
                    "distributed": has["distributed"] or None,
                }
            )
        return found

    def _interfaces(self, router: str) -> list[Any]:
        mine = sorted(self._parts("interface", router), key=lambda one: one.ref)
        by_network: dict[str, list[Thing]] = {}
        for one in mine:
            by_network.setdefault(one.ref.names[1], []).append(one)
        found: list[Any] = []
        for network, ends in by_network.items():
            subnets = self._parts("subnet", network)
            at_gateway = all(one.made_with["_at_gateway"] for one in ends)
            if at_gateway and len(ends) == len(subnets):
                found.append(network)
                continue
            for one in ends:
                word = self._word_of_subnet(self._things[one.made_with["subnet_id"]])
                if word is None:
                    self.unsaid.append(f"{one.ref}, which no word means alone")
                    continue
                whole = {"subnet": word, "ip_address": one.attributes["ip_address"]}
                found.append(word if one.made_with["_at_gateway"] else whole)
        return found

    def _word_of_subnet(self, subnet: Thing) -> str | None:
        """Return what means this subnet alone: its name, its network's, or its CIDR."""
        network, cidr = subnet.ref.names
        meant = Counter(
            word
            for one in self._of("subnet")
            for word in {one.attributes["name"], one.ref.names[1]}
        )
        for word in filter(None, (subnet.attributes["name"], cidr)):
            if meant[word] == 1 and ref("network", word) not in self._things:
                return str(word)
        return network if len(self._parts("subnet", network)) == 1 else None

    def groups(self) -> dict[str, Any]:
        """Return security groups; Neutron's own one only if somebody has changed it."""
        found = {}
        for group in self._of("security_group"):
            name = group.ref.names[0]
            words = [one.ref.names[1] for one in self._parts("rule", name)]
            if name == "default" and set(words) == _DEFAULT_GROUP:
                continue
            both = set(words) >= _DEFAULT_RULES
            found[name] = _said(
                {
                    "rules": sorted(w for w in words if not (both and w in _DEFAULT_RULES)),
                    "default_rules": None if both else False,
                    **_unless(group.attributes, "stateful", True),
                }
            )
        return found

    def policies(self) -> dict[str, Any]:
        """Return QoS policies."""
        found = {}
        for policy in self._of("qos_policy"):
            name = policy.ref.names[0]
            told: dict[str, Any] = {"shared": policy.attributes["shared"] or None}
            for rule in self._parts("qos_rule", name):
                _, kind, direction = rule.ref.names
                if kind == "dscp_marking":
                    told |= rule.attributes
                else:
                    told.setdefault(kind, {})[direction] = dict(rule.attributes)
            found[name] = _said(told)
        return found

    def vms(self) -> dict[str, Any]:
        """Return VMs that are on a host."""
        found = {}
        for vm in self._of("vm"):
            name, host = vm.ref.names[0], vm.attributes["host"]
            if not self._is_said(vm):
                where = f"{host}, no host of this lab" if host else "no host"
                self.unsaid.append(f"{vm.ref}, which is on {where}")
                continue
            seen = Counter[str]()
            nics = []
            for nic in self._parts("nic", name):
                network = _name(nic.attributes["network_id"])
                called = nic.ref.names[1]
                told = {
                    "network": network,
                    **_named(called, f"{name}-{network}", seen),
                    **self._port(nic.attributes),
                    **_unless(nic.attributes, "binding:vnic_type", "normal", "vnic_type"),
                    **_addressing(nic.attributes["_addressing"]),
                }
                nics.append(_said(told))
            found[name] = {"host": host, "nics": nics}
        return found

    def trunks(self) -> dict[str, Any]:
        """Return trunks with their subports."""
        found = {}
        for trunk in self._of("trunk"):
            name = trunk.ref.names[0]
            word = self._word_of(trunk.made_with["port_id"], trunk)
            if word is None:
                continue
            subs = []
            for sub in sorted(self._parts("sub_port", name), key=lambda one: int(one.ref.names[1])):
                port = self._things[sub.attributes["port_id"]]
                tag = int(sub.ref.names[1])
                called = port.made_with["name"]
                told = {
                    "network": _name(port.attributes["network_id"]),
                    "segmentation_id": tag,
                    **({} if called == f"{name}-{tag}" else {"name": called}),
                    **self._port(port.attributes),
                }
                subs.append(_said(told))
            state = _unless(trunk.attributes, "admin_state_up", True)
            found[name] = _said({"port": word, "sub_ports": subs, **state})
        return found

    def floating_ips(self) -> dict[str, Any]:
        """Return the floating IPs of NICs, by these."""
        found = {}
        for one in self._of("floating_ip"):
            nic = one.attributes["port_id"]
            word = self._word_of(nic, one) if nic else None
            if word is None:
                continue
            network = _name(one.attributes["floating_network_id"])
            address = one.attributes["floating_ip_address"]
            found[word] = {"network": network, "floating_ip_address": address}
            ips = [ip["ip_address"] for ip in self._things[nic].attributes["fixed_ips"]]
            if sum(":" not in ip for ip in ips) > 1:
                found[word]["fixed_ip_address"] = one.attributes["fixed_ip_address"]
        return found

    def _is_said(self, vm: Thing) -> bool:
        host = vm.attributes["host"]
        return bool(host) and (self._hosts is None or host in self._hosts)

    def _word_of(self, port: Ref, user: Thing) -> str | None:
        """Return what means a NIC in a file: its port's name, or its VM's that has no other one.

        user: what it has.
        """
        vm = port.names[0]
        if ref("vm", vm) not in self._things:
            return None
        if not self._is_said(self._things[ref("vm", vm)]):
            self.unsaid.append(f"{user.ref}, whose VM is not said")
            return None
        if len(self._parts("nic", vm)) == 1:
            return vm
        if not port.names[1]:
            self.unsaid.append(f"what VM {vm} has by a port without a name")
        return port.names[1] or None

    def _port(self, has: Mapping[str, Any]) -> dict[str, Any]:
        network = self._things.get(has["network_id"])
        secure = network.attributes["port_security_enabled"] if network else True
        groups = [_name(one) for one in has["security_groups"]]
        usual = ["default"] if has["port_security_enabled"] else []
        pairs = [
            one if "mac_address" in one else one["ip_address"]
            for one in has["allowed_address_pairs"]
        ]
        return {
            "mac_address": has["mac_address"],
            "fixed_ips": _ips(has["fixed_ips"]),
            **({} if groups == usual else {"security_groups": groups}),
            **_unless(has, "port_security_enabled", secure),
            "allowed_address_pairs": pairs,
            "qos_policy": _name(has["qos_policy_id"]),
            **_unless(has, "admin_state_up", True),
        }


def _subnet(network: str, subnet: Thing, seen: Counter[str]) -> Any:
    has, cidr = subnet.attributes, subnet.ref.names[1]
    whole = ipaddress.ip_network(cidr)
    told = _named(has["name"], f"{network}-v{whole.version}", seen)
    if has["gateway_ip"] != checks.usual_gateway(cidr):
        told["gateway_ip"] = has["gateway_ip"]
    told |= _unless(has, "enable_dhcp", True)
    if has["allocation_pools"] != checks.usual_pools(cidr, has["gateway_ip"]):
        told["allocation_pools"] = list(has["allocation_pools"])
    told["dns_nameservers"] = list(has["dns_nameservers"])
    told["host_routes"] = list(has["host_routes"])
    told["ipv6_address_mode"] = has["ipv6_address_mode"]
    told["ipv6_ra_mode"] = has["ipv6_ra_mode"]
    said = _said(told)
    return {"cidr": cidr, **said} if said else cidr


def _name(which: Ref | None) -> str | None:
    return which.names[0] if which else None


def _named(name: str, usual: str, seen: Counter[str]) -> dict[str, Any]:
    """Return a name; nothing, where a file without it means the same."""
    number = seen[usual] + 1
    if name == (usual if number == 1 else f"{usual}-{number}"):
        seen[usual] = number
        return {}
    return {"name": name}


def _addressing(words: frozenset[str]) -> dict[str, str]:
    """Return how a NIC comes by its addresses, unless it is as every NIC does."""
    if "dhcp" in words or not words:
        return {}
    return {"addressing": "static" if "static" in words else "none"}


def _ips(ips: Iterable[Mapping[str, str]]) -> list[str]:
    return [one["ip_address"] for one in ips]


def _unless(has: Mapping[str, Any], key: str, usual: Any, word: str = "") -> dict[str, Any]:
    return {} if has[key] == usual else {word or key: has[key]}


def _said(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what says something."""
    return {
        key: value
        for key, value in told.items()
        if key in _EMPTY or (value is not None and value not in ("", [], {}))
    }
