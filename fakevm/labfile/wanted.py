"""What a lab is to have, by its file: pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from fakevm.labfile import checks
from fakevm.labfile.model import LabFile, Network, Port, QosPolicy, Router, Subnet
from fakevm.labfile.names import nic_names, subnet_names, subport_names
from fakevm.stock import rules
from fakevm.stock.things import Ref, Thing, ref


def of(file: LabFile) -> list[Thing]:
    """Return all that a file wants in its lab."""
    return [
        *_policies(file),
        *_groups(file),
        *_networks(file),
        *_routers(file),
        *_vms(file),
        *_trunks(file),
        *_floating_ips(file),
    ]


def _given(**attributes: Any) -> dict[str, Any]:
    """Return those that are not left to Neutron."""
    return {name: value for name, value in attributes.items() if value is not None}


def _policies(file: LabFile) -> Iterator[Thing]:
    for name, policy in file.qos_policies.items():
        yield Thing(ref=ref("qos_policy", name), attributes={"shared": policy.shared})
        yield from _qos_rules(name, policy)


def _qos_rules(name: str, policy: QosPolicy) -> Iterator[Thing]:
    for kind in ("bandwidth_limit", "packet_rate_limit"):
        limits = getattr(policy, kind)
        for direction in ("egress", "ingress"):
            if limits and (limit := getattr(limits, direction)):
                yield Thing(
                    ref=ref("qos_rule", name, kind, direction),
                    attributes=limit.model_dump(),
                    made_with={"direction": direction},
                )
    if policy.dscp_mark is not None:
        attributes = {"dscp_mark": policy.dscp_mark}
        yield Thing(ref=ref("qos_rule", name, "dscp_marking", ""), attributes=attributes)


def _groups(file: LabFile) -> Iterator[Thing]:
    for name, group in file.security_groups.items():
        yield Thing(
            ref=ref("security_group", name),
            attributes={"stateful": group.stateful},
            made_with={"_default_rules": group.default_rules},
        )
        words = list(map(rules.parse, group.rules))
        if group.default_rules:
            words = [*rules.DEFAULTS, *(one for one in words if one not in rules.DEFAULTS)]
        for rule in words:
            remote = {"remote_group_id": ref("security_group", rule.group)} if rule.group else {}
            yield Thing(ref=ref("rule", name, str(rule)), made_with={**rule.body(), **remote})


def _networks(file: LabFile) -> Iterator[Thing]:
    for name, network in file.networks.items():
        yield Thing(
            ref=ref("network", name),
            attributes={
                "shared": network.shared,
                "router:external": network.external,
                "admin_state_up": network.admin_state_up,
                "port_security_enabled": network.port_security_enabled,
                "qos_policy_id": _policy(network.qos_policy),
                **_given(
                    mtu=network.mtu,
                    **{
                        "provider:network_type": network.network_type,
                        "provider:physical_network": network.physical_network,
                        "provider:segmentation_id": network.segmentation_id,
                    },
                ),
            },
        )
        for subnet, called in zip(network.subnets, subnet_names(name, network), strict=True):
            yield _subnet(name, called, subnet)


def _subnet(network: str, called: str, subnet: Subnet) -> Thing:
    whole = ipaddress.ip_network(subnet.cidr)
    gateway: dict[str, Any] = {"gateway_ip": checks.gateway_of(subnet)}
    if "gateway_ip" in subnet.model_fields_set:
        gateway = {"gateway_ip": subnet.gateway_ip}
    elif whole.num_addresses == 1:
        # Of one address Neutron takes none; it has its own idea.
        gateway = {}
    pools = [one.model_dump() for one in subnet.allocation_pools]
    modes = _given(ipv6_address_mode=subnet.ipv6_address_mode, ipv6_ra_mode=subnet.ipv6_ra_mode)
    return Thing(
        ref=ref("subnet", network, subnet.cidr),
        attributes={
            "name": called,
            "enable_dhcp": subnet.enable_dhcp,
            "dns_nameservers": list(subnet.dns_nameservers),
            "host_routes": _sorted([one.model_dump() for one in subnet.host_routes]),
            **gateway,
            **({"allocation_pools": _sorted(pools)} if pools else {}),
            **modes,
        },
        made_with={
            "network_id": ref("network", network),
            "cidr": subnet.cidr,
            "ip_version": whole.version,
            "_pools": checks.usual_pools(subnet.cidr, gateway.get("gateway_ip")),
        },
    )


def _routers(file: LabFile) -> Iterator[Thing]:
    for name, router in file.routers.items():
        yield Thing(
            ref=ref("router", name),
            attributes={
                "admin_state_up": router.admin_state_up,
                "external_gateway_info": _gateway(router),
                **_given(ha=router.ha, distributed=router.distributed),
            },
        )
        for _, network, subnet, address in checks.interfaces_of(file, router):
            yield Thing(
                ref=ref("interface", name, network, subnet.cidr),
                attributes={"ip_address": address or checks.gateway_of(subnet)},
                made_with={
                    "network_id": ref("network", network),
                    "subnet_id": ref("subnet", network, subnet.cidr),
                    "_at_gateway": address in (None, checks.gateway_of(subnet)),
                },
            )
        routes = _sorted([one.model_dump() for one in router.routes])
        yield Thing(ref=ref("routes", name), attributes={"routes": routes})


def _gateway(router: Router) -> dict[str, Any] | None:
    gateway = router.external_gateway
    if gateway is None:
        return None
    ips = [{"ip_address": one} for one in sorted(gateway.external_fixed_ips)]
    return {
        "network_id": ref("network", gateway.network),
        **_given(enable_snat=gateway.enable_snat),
        **({"external_fixed_ips": ips} if ips else {}),
    }


def _vms(file: LabFile) -> Iterator[Thing]:
    known = checks.nics(file)
    parents = {known[trunk.port] for trunk in file.trunks.values()}
    for name, vm in file.vms.items():
        yield Thing(ref=ref("vm", name), attributes=_given(host=vm.host))
        for place, (nic, called) in enumerate(zip(vm.nics, nic_names(name, vm), strict=True)):
            attributes = {**_port(file, nic), "binding:vnic_type": nic.vnic_type}
            secure = _network_s_security(file, nic)
            made_with: dict[str, Any] = {"_place": place, **secure}
            if (name, called) in parents:
                # Neutron takes no port as a trunk's parent that a VM has already.
                parent = ref("port", name, called)
                made = {"name": called, **secure}
                yield Thing(ref=parent, attributes=attributes, made_with=made)
                attributes, made_with = {}, {**made_with, "_port": parent}
            yield Thing(
                ref=ref("nic", name, called, *_nth(file, name, place)),
                attributes={**attributes, "_addressing": nic.addressing, "_plugged": True},
                made_with=made_with,
            )


def _nth(file: LabFile, vm: str, place: int) -> tuple[str, ...]:
    """Return what else tells a NIC without a name from others: its network, and which one there."""
    nics = file.vms[vm].nics
    if nics[place].name != "":
        return ()
    same = [one for one in nics[:place] if one.name == "" and one.network == nics[place].network]
    return nics[place].network, str(len(same) + 1)


def nic_ref(file: LabFile, vm: str, called: str) -> Ref:
    """Return which NIC of a VM has the port of this name."""
    place = nic_names(vm, file.vms[vm]).index(called)
    return ref("nic", vm, called, *_nth(file, vm, place))


def _port(file: LabFile, port: Port) -> dict[str, Any]:
    network: Network = file.networks[port.network]
    secure = port.port_security_enabled
    secure = network.port_security_enabled if secure is None else secure
    groups = port.security_groups
    if groups is None:
        groups = [checks.DEFAULT_GROUP] if secure else []
    pairs = [_given(**one.model_dump()) for one in port.allowed_address_pairs]
    for pair in pairs:
        # What Neutron adds where none is given.
        if port.mac_address and pair.get("mac_address") == port.mac_address:
            del pair["mac_address"]
    ips = sorted(port.fixed_ips)
    return {
        "network_id": ref("network", port.network),
        "admin_state_up": port.admin_state_up,
        "port_security_enabled": secure,
        "security_groups": [ref("security_group", one) for one in sorted(set(groups))],
        "qos_policy_id": _policy(port.qos_policy),
        "allowed_address_pairs": _sorted(pairs),
        **_given(mac_address=port.mac_address),
        **({"fixed_ips": [{"ip_address": one} for one in ips]} if ips else {}),
    }


def _network_s_security(file: LabFile, port: Port) -> dict[str, bool]:
    """Return what a port has of its network unless it is told otherwise."""
    return {"_port_security": file.networks[port.network].port_security_enabled}


def _trunks(file: LabFile) -> Iterator[Thing]:
    known = checks.nics(file)
    for name, trunk in file.trunks.items():
        vm, called = known[trunk.port]
        yield Thing(
            ref=ref("trunk", name),
            attributes={"admin_state_up": trunk.admin_state_up},
            made_with={"port_id": ref("port", vm, called)},
        )
        for sub, sub_name in zip(trunk.sub_ports, subport_names(name, trunk), strict=True):
            port = ref("port", name, sub_name)
            made = {"name": sub_name, **_network_s_security(file, sub)}
            yield Thing(ref=port, attributes=_port(file, sub), made_with=made)
            yield Thing(
                ref=ref("sub_port", name, str(sub.segmentation_id)), attributes={"port_id": port}
            )


def _floating_ips(file: LabFile) -> Iterator[Thing]:
    known = checks.nics(file)
    for name, one in file.floating_ips.items():
        nic = nic_ref(file, *known[name])
        yield Thing(
            ref=ref("floating_ip", *nic.names),
            attributes={
                "floating_network_id": ref("network", one.network),
                "port_id": nic,
                **_given(
                    floating_ip_address=one.floating_ip_address,
                    fixed_ip_address=one.fixed_ip_address,
                ),
            },
        )


def _policy(name: str | None) -> Ref | None:
    return ref("qos_policy", name) if name else None


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: sorted(row.items()))
