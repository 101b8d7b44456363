"""What a lab has, as things: pure."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from fakevm.inventory import addresses
from fakevm.inventory.addresses import Addressing
from fakevm.neutron import answers
from fakevm.reach.read import INTERFACES, SLAAC
from fakevm.stock import given_back, rules
from fakevm.stock.naming import Names, is_ours
from fakevm.stock.raw import Found, Raw
from fakevm.stock.things import TAG, Ref, Thing, ref


@dataclass(frozen=True, kw_only=True)
class Present:
    """What a lab has, by what it is."""

    things: Mapping[Ref, Thing] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)
    # How many VMs each host has.
    vms: Mapping[str, int] = field(default_factory=dict)
    # Of which kinds there are several with one name.
    ambiguous: frozenset[Ref] = frozenset()
    # What a lab file has no words for.
    unsaid: tuple[str, ...] = ()


def of(raw: Raw, wanted: Iterable[Thing] = ()) -> Present:
    """Return what a lab has; ports and VMs that nothing else names have the names of `wanted`."""
    return _Reading(raw, list(wanted)).present()


class _Reading:
    """Says of everything what a lab file can say."""

    def __init__(self, raw: Raw, wanted: Sequence[Thing]) -> None:
        self._wanted = wanted
        self._raw = given_back.ports(raw, wanted)
        raw = self._raw
        self._names = Names(raw, wanted)
        self._things: dict[Ref, Thing] = {}
        self._unsaid: list[str] = list(raw.others)
        self._subnets = {one["id"]: one for one in raw.found["subnets"]}
        self._ports = {one["id"]: one for one in raw.found["ports"]}
        self._plugged = {v.port_id: (h, v) for h, here in raw.vifs.items() for v in here}

    def present(self) -> Present:
        vms = self._names.vms
        self._networks()
        self._groups()
        self._policies()
        self._routers()
        self._vms(vms)
        self._trunks()
        self._floating_ips()
        hosts = [self._things[ref("vm", name)].attributes["host"] for name in vms.values()]
        return Present(
            things=self._things,
            hosts=self._raw.hosts,
            silent=self._raw.silent,
            vms=Counter(str(host) for host in hosts if host),
            ambiguous=frozenset(self._names.ambiguous),
            unsaid=tuple(self._unsaid),
        )

    # Things

    def _add(self, which: Ref, row: Found | None, **values: Any) -> None:
        tagged = row is not None and TAG in row.get("tags", ())
        self._things[which] = Thing(
            **{
                "ref": which,
                "id": row["id"] if row else "",
                "tagged": tagged,
                "ours": row is not None and is_ours(row),
                **values,
            }
        )

    def _networks(self) -> None:
        for row in self._raw.found["networks"]:
            wanted = ("shared", "router:external", "admin_state_up", "mtu")
            attributes = {name: row[name] for name in wanted}
            attributes["port_security_enabled"] = row.get("port_security_enabled", True)
            attributes["qos_policy_id"] = self._names.of(row.get("qos_policy_id"))
            attributes |= {
                name: row.get(name)
                for name in (
                    *("provider:network_type", "provider:physical_network"),
                    "provider:segmentation_id",
                )
            }
            self._add(self._names.refs[row["id"]], row, attributes=attributes)
        for row in self._raw.found["subnets"]:
            if row["id"] not in self._names.refs:
                continue
            names = ("name", "enable_dhcp", "dns_nameservers", "gateway_ip")
            attributes = {name: row[name] for name in names}
            attributes["allocation_pools"] = _sorted(row["allocation_pools"])
            attributes["host_routes"] = _sorted(row["host_routes"])
            attributes["ipv6_address_mode"] = row["ipv6_address_mode"]
            attributes["ipv6_ra_mode"] = row["ipv6_ra_mode"]
            self._add(self._names.refs[row["id"]], row, attributes=attributes)

    def _groups(self) -> None:
        for row in self._raw.found["security_groups"]:
            which = self._names.refs[row["id"]]
            # Neutron made it, for whoever writes rules for it.
            ours = is_ours(row) or row["name"] == "default"
            attributes = {"stateful": row.get("stateful", True)}
            self._add(which, row, attributes=attributes, ours=ours)
            for rule in row["security_group_rules"]:
                if rule.get("remote_address_group_id"):
                    self._unsaid.append(f"a rule of {which} with an address group")
                    continue
                remote = self._names.refs.get(rule["remote_group_id"] or "")
                words = str(rules.of_neutron(rule, remote.names[0] if remote else None))
                self._add(ref("rule", which.names[0], words), rule, ours=ours, tagged=True)

    def _policies(self) -> None:
        for row in self._raw.found["policies"]:
            which = self._names.refs[row["id"]]
            self._add(which, row, attributes={"shared": row["shared"]})
            for rule in row["rules"]:
                kind, direction = rule["type"], rule.get("direction", "")
                names = {
                    "bandwidth_limit": ("max_kbps", "max_burst_kbps"),
                    "packet_rate_limit": ("max_kpps", "max_burst_kpps"),
                    "dscp_marking": ("dscp_mark",),
                }.get(kind)
                if names is None:
                    self._unsaid.append(f"a rule of {which}: {kind}")
                    continue
                attributes = {name: rule[name] for name in names}
                values = {"attributes": attributes, "ours": is_ours(row), "tagged": True}
                self._add(ref("qos_rule", which.names[0], kind, direction), rule, **values)

    def _routers(self) -> None:
        for row in self._raw.found["routers"]:
            which = self._names.refs[row["id"]]
            gateway = row.get("external_gateway_info")
            attributes: dict[str, Any] = {
                "admin_state_up": row["admin_state_up"],
                "external_gateway_info": gateway
                and {
                    "network_id": self._names.of(gateway["network_id"]),
                    "enable_snat": gateway.get("enable_snat", True),
                    "external_fixed_ips": sorted(
                        ({"ip_address": ip["ip_address"]} for ip in gateway["external_fixed_ips"]),
                        key=lambda ip: str(ip["ip_address"]),
                    ),
                },
                "ha": row.get("ha"),
                "distributed": row.get("distributed"),
            }
            self._add(which, row, attributes=attributes)
            part = {"ours": is_ours(row), "tagged": True}
            routes = [{k: one[k] for k in ("destination", "nexthop")} for one in row["routes"]]
            self._add(
                ref("routes", *which.names), row, attributes={"routes": _sorted(routes)}, **part
            )
            for port in self._ports.values():
                if port["device_id"] == row["id"] and port["device_owner"].startswith(INTERFACES):
                    self._interfaces(which, port, part)

    def _interfaces(self, router: Ref, port: Found, part: Mapping[str, Any]) -> None:
        for ip in port["fixed_ips"]:
            subnet = self._names.refs.get(ip["subnet_id"])
            if subnet is None:
                self._unsaid.append(f"an interface of {router}")
                continue
            self._add(
                ref("interface", *router.names, *subnet.names),
                port,
                attributes={"ip_address": ip["ip_address"]},
                made_with={
                    "subnet_id": subnet,
                    "_router": router,
                    "_at_gateway": ip["ip_address"] == self._subnets[ip["subnet_id"]]["gateway_ip"],
                },
                **part,
            )

    def _vms(self, vms: Mapping[str, str]) -> None:
        parents = {trunk["port_id"] for trunk in self._raw.found["trunks"]}
        # Those of trunks that are to be made.
        wanted = {one.made_with["port_id"] for one in self._wanted if one.ref.kind == "trunk"}
        ports: dict[str, list[Found]] = defaultdict(list)
        for port in self._raw.found["ports"]:
            if port["device_id"] in vms and not port["device_owner"].startswith("network:"):
                ports[port["device_id"]].append(port)
        for instance_id, name in vms.items():
            mine = sorted(ports[instance_id], key=self._nic_order)
            hosts = [str(port.get("binding:host_id") or "") for port in mine]
            host = next(filter(None, hosts), None)
            self._add(
                ref("vm", name),
                None,
                id=instance_id,
                ours=any(map(is_ours, mine)),
                attributes={"host": host},
            )
            seen: Counter[tuple[str, str]] = Counter()
            for port in mine:
                names: tuple[str, ...] = (name, port["name"])
                if not port["name"]:
                    network = self._names.of(port["network_id"])
                    seen[name, str(network)] += 1
                    assert network is not None
                    names = (*names, network.names[0], str(seen[name, str(network)]))
                which = ref("nic", *names)
                if which in self._things:
                    # Of two with one name the older one is meant.
                    which = ref("nic", name, port["id"])
                self._names.refs[port["id"]] = which
                attributes = self._port(port)
                attributes["binding:vnic_type"] = port.get("binding:vnic_type", "normal")
                more = {
                    "_addressing": self._addressing(port),
                    "_plugged": self._is_plugged(port),
                }
                parent = ref("port", *names[:2])
                if port["id"] in parents or (parent in wanted and parent not in self._things):
                    self._add(parent, port, attributes=attributes, made_with={"name": port["name"]})
                self._add(which, port, attributes={**attributes, **more})

    def _nic_order(self, port: Found) -> tuple[str, str, str]:
        _, vif = self._plugged.get(port["id"], ("", None))
        nic = f"{vif.nic:>8}" if vif else "~"
        return nic, port.get("created_at") or "", port["id"]

    def _is_plugged(self, port: Found) -> bool:
        """Tell whether a port is plugged on its host, as far as that says."""
        host = port.get("binding:host_id")
        if host in self._raw.silent:
            return True
        where, vif = self._plugged.get(port["id"], ("", None))
        return bool(host) and vif is not None and where == host

    def _addressing(self, port: Found) -> frozenset[str]:
        """Return by which words a VM comes by its addresses as its host has it.

        Of a subnet without DHCP there are two.
        """
        _, vif = self._plugged.get(port["id"], ("", None))
        ips = vif.fixed_ips if vif else ()
        return frozenset(
            choice
            for choice in get_args(Addressing)
            if all(self._comes_by(one.subnet_id, one.method, choice) for one in ips)
        )

    def _comes_by(self, subnet_id: str, method: str, choice: Addressing) -> bool:
        row = self._subnets.get(subnet_id)
        if row is None:
            return True
        expected = addresses.method(answers.subnet(row), choice)
        # Where no router advertises there is none by SLAAC.
        return method == expected or (expected == "slaac" and method == "none")

    def _port(self, port: Found) -> dict[str, Any]:
        pairs = [
            {"ip_address": one["ip_address"], "mac_address": one.get("mac_address")}
            for one in port.get("allowed_address_pairs") or ()
        ]
        for pair in pairs:
            # What Neutron adds where none is given.
            if pair["mac_address"] in (None, port["mac_address"]):
                del pair["mac_address"]
        groups = (self._names.of(one) for one in port.get("security_groups") or ())
        return {
            "network_id": self._names.of(port["network_id"]),
            "admin_state_up": port["admin_state_up"],
            "port_security_enabled": port.get("port_security_enabled", True),
            "security_groups": sorted(one for one in groups if one),
            "qos_policy_id": self._names.of(port.get("qos_policy_id")),
            "allowed_address_pairs": _sorted(pairs),
            "mac_address": port["mac_address"],
            "fixed_ips": [{"ip_address": one} for one in sorted(self._chosen(port))],
        }

    def _chosen(self, port: Found) -> Iterator[str]:
        """Yield the addresses that somebody could have chosen."""
        for ip in port["fixed_ips"]:
            subnet = self._subnets.get(ip["subnet_id"], {})
            if subnet.get("ipv6_address_mode") not in SLAAC:
                yield str(ipaddress.ip_address(ip["ip_address"]))

    def _trunks(self) -> None:
        for row in self._raw.found["trunks"]:
            which = self._names.refs[row["id"]]
            parent = self._names.refs.get(row["port_id"])
            if parent is not None and parent.kind == "nic":
                parent = ref("port", *parent.names[:2])
            elif parent is None:
                self._unsaid.append(f"{which}, whose parent is no VM's")
                parent = ref("port", *which.names, "")
            if parent not in self._things and row["port_id"] in self._ports:
                self._add_port(parent, self._ports[row["port_id"]])
            self._add(
                which,
                row,
                attributes={"admin_state_up": row["admin_state_up"]},
                made_with={"port_id": parent},
            )
            for sub in row["sub_ports"]:
                port = self._names.refs.get(sub["port_id"])
                if port is None or sub["segmentation_type"] != "vlan":
                    self._unsaid.append(f"a subport of {which}")
                    continue
                self._add_port(port, self._ports[sub["port_id"]])
                self._add(
                    ref("sub_port", *which.names, str(sub["segmentation_id"])),
                    row,
                    attributes={"port_id": port},
                    ours=is_ours(row),
                    tagged=True,
                )
        for port_id, which in self._names.refs.items():
            if which.kind == "port" and which not in self._things:
                self._add_port(which, self._ports[port_id])
        self._forgotten()

    def _forgotten(self) -> None:
        """Add what the file made and nothing names any more."""
        for port in self._ports.values():
            if port["id"] not in self._names.refs and not port["device_id"]:
                if is_ours(port):
                    self._add_port(ref("port", "", port["id"]), port)
                else:
                    self._unsaid.append(f"port {port['name'] or port['id']}, which is nobody's")

    def _add_port(self, which: Ref, port: Found) -> None:
        attributes = self._port(port)
        attributes["binding:vnic_type"] = port.get("binding:vnic_type", "normal")
        self._add(which, port, attributes=attributes, made_with={"name": port["name"]})

    def _floating_ips(self) -> None:
        of_nobody = given_back.floating_ips(self._raw, self._names, self._wanted)
        for row in self._raw.found["floatingips"]:
            port = self._names.refs.get(row["port_id"] or "")
            nic = port if port and port.kind == "nic" else None
            which = of_nobody.get(row["id"])
            if which is None and nic is not None:
                which = ref("floating_ip", *nic.names)
            if which is None or which in self._things:
                self._unsaid.append(f"floating IP {row['floating_ip_address']}")
                which = ref("floating_ip", "", row["floating_ip_address"])
            attributes = {
                "floating_network_id": self._names.of(row["floating_network_id"]),
                "port_id": nic,
                "floating_ip_address": row["floating_ip_address"],
                "fixed_ip_address": row["fixed_ip_address"],
            }
            self._add(which, row, attributes=attributes)


def _sorted(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return sorted(map(dict, rows), key=lambda row: sorted(row.items()))
