"""What must fit together in a lab file: pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations

from fakevm.labfile.model import LabFile, Port, Router, Subnet
from fakevm.labfile.names import nic_names, subnet_names, subport_names
from fakevm.labfile.problems import Path
from fakevm.stock import rules
from fakevm.stock.nearest import did_you_mean

# A place, and what is wrong there.
Found = tuple[Path, str]

# Neutron's own group, which is there without being named.
DEFAULT_GROUP = "default"

IPV6 = 6


def of(file: LabFile) -> Iterator[Found]:
    """Yield what does not fit together."""
    yield from _settings(file)
    yield from _networks(file)
    yield from _ports(file)
    yield from _groups(file)
    for name, router in file.routers.items():
        yield from _router(file, ("routers", name), router)
    yield from _loops(file)
    yield from _trunks(file)
    yield from _floating_ips(file)


def missing(word: str, known: Collection[str], what: str) -> str:
    """Return the words for a reference to what is not there."""
    return f"there is no {what} {word!r} in this file{did_you_mean(word, known)}"


def interfaces_of(file: LabFile, router: Router) -> Iterator[tuple[int, str, Subnet, str | None]]:
    """Yield a router's interfaces: their place, network, subnet, and the address if it is given."""
    by_word = subnets_by_word(file)
    for place, interface in enumerate(router.interfaces):
        if interface.subnet in file.networks:
            for subnet in file.networks[interface.subnet].subnets:
                yield place, interface.subnet, subnet, interface.ip_address
        else:
            for network, subnet in by_word.get(interface.subnet, [])[:1]:
                yield place, network, subnet, interface.ip_address


def subnets_by_word(file: LabFile) -> dict[str, list[tuple[str, Subnet]]]:
    """Return the subnets that each name and each CIDR means, with their networks."""
    found: dict[str, list[tuple[str, Subnet]]] = {}
    for network, one in file.networks.items():
        for subnet, name in zip(one.subnets, subnet_names(network, one), strict=True):
            for word in {name, subnet.cidr} - {""}:
                found.setdefault(word, []).append((network, subnet))
    return found


def _settings(file: LabFile) -> Iterator[Found]:
    only = {"ovs": ("l2population", "firewall", "l2_agent"), "ovn": ("metadata",)}
    if file.backend:
        for backend, words in only.items():
            for word in words:
                if getattr(file, word) is not None and backend != file.backend:
                    yield (word,), f"a lab of the backend {file.backend} has no {word}"
    if file.computes:
        hosts = [f"compute-{number}" for number in range(1, file.computes + 1)]
        for host in file.host_neutron:
            if host not in hosts:
                near = did_you_mean(host, hosts)
                yield ("host_neutron", host), f"there is no host {host!r}{near}"
        for name, vm in file.vms.items():
            if vm.host and vm.host not in hosts:
                near = did_you_mean(vm.host, hosts)
                yield ("vms", name, "host"), f"there is no host {vm.host!r}{near}"


def _networks(file: LabFile) -> Iterator[Found]:
    for name, network in file.networks.items():
        here: Path = ("networks", name)
        if network.network_type in ("vlan", "flat") and not network.physical_network:
            what = f"a {network.network_type} network needs physical_network, as physnet1"
            yield (*here, "network_type"), what
        yield from _policy(file, here, network.qos_policy)
        for place, subnet in enumerate(network.subnets):
            yield from _subnet((*here, "subnets", place), subnet)
        for (first, one), (second, other) in combinations(enumerate(network.subnets), 2):
            if _overlap(one.cidr, other.cidr):
                what = f"{other.cidr} overlaps {one.cidr}, which this network has, too"
                yield (*here, "subnets", max(first, second)), what


def _subnet(here: Path, subnet: Subnet) -> Iterator[Found]:
    network = ipaddress.ip_network(subnet.cidr)
    inside: list[tuple[Path, str]] = []
    # Neutron's gateway of a single address is beside it, and a router of IPv6 may advertise itself.
    if subnet.gateway_ip and network.num_addresses > 1 and not _is_link_local(subnet.gateway_ip):
        inside.append((("gateway_ip",), subnet.gateway_ip))
    for place, pool in enumerate(subnet.allocation_pools):
        inside += [
            (("allocation_pools", place, "start"), pool.start),
            (("allocation_pools", place, "end"), pool.end),
        ]
    for path, address in inside:
        if ipaddress.ip_address(address) not in network:
            yield (*here, *path), f"{address} is not in {subnet.cidr}"
    for word in ("ipv6_address_mode", "ipv6_ra_mode"):
        if network.version == 4 and getattr(subnet, word):
            yield (*here, word), f"{subnet.cidr} is no subnet of IPv6"


def _ports(file: LabFile) -> Iterator[Found]:
    for name, vm in file.vms.items():
        names = nic_names(name, vm)
        for place, nic in enumerate(vm.nics):
            here: Path = ("vms", name, "nics", place)
            yield from _port(file, here, nic)
            if names[place] and names[place] in names[:place]:
                yield here, f"VM {name!r} has another NIC with the name {names[place]!r}"
    for name, trunk in file.trunks.items():
        for place, sub in enumerate(trunk.sub_ports):
            yield from _port(file, ("trunks", name, "sub_ports", place), sub)


def _port(file: LabFile, here: Path, port: Port) -> Iterator[Found]:
    if port.network not in file.networks:
        yield (*here, "network"), missing(port.network, file.networks, "network")
        return
    cidrs = [subnet.cidr for subnet in file.networks[port.network].subnets]
    for place, address in enumerate(port.fixed_ips):
        if not any(ipaddress.ip_address(address) in ipaddress.ip_network(c) for c in cidrs):
            has = ", ".join(cidrs) or "no subnet"
            what = f"{address} is in no subnet of network {port.network!r}, which has {has}"
            yield (*here, "fixed_ips", place), what
    for place, group in enumerate(port.security_groups or ()):
        if group not in (*file.security_groups, DEFAULT_GROUP):
            what = missing(group, file.security_groups, "security group")
            yield (*here, "security_groups", place), what
    if port.security_groups and port.port_security_enabled is False:
        yield (*here, "security_groups"), "a port without port security has no security groups"
    yield from _policy(file, here, port.qos_policy)


def _policy(file: LabFile, here: Path, policy: str | None) -> Iterator[Found]:
    if policy and policy not in file.qos_policies:
        yield (*here, "qos_policy"), missing(policy, file.qos_policies, "QoS policy")


def _groups(file: LabFile) -> Iterator[Found]:
    for name, group in file.security_groups.items():
        for place, words in enumerate(group.rules):
            rule = rules.parse(words)
            here: Path = ("security_groups", name, "rules", place)
            if rule.group and rule.group not in (*file.security_groups, DEFAULT_GROUP):
                what = missing(rule.group, file.security_groups, "security group")
                yield here, f"{what}, and {rule.group!r} is no CIDR"
            if words in group.rules[:place]:
                yield here, f"the rule {words!r} stands here twice"


def _router(file: LabFile, here: Path, router: Router) -> Iterator[Found]:
    gateway = router.external_gateway
    if gateway:
        there: Path = (*here, "external_gateway", "network")
        if gateway.network not in file.networks:
            yield there, missing(gateway.network, file.networks, "network")
        elif not file.networks[gateway.network].external:
            yield there, f"network {gateway.network!r} is not external (external: true)"
    subnets = subnets_by_word(file)
    for place, interface in enumerate(router.interfaces):
        there = (*here, "interfaces", place)
        if interface.subnet not in (*file.networks, *subnets):
            known = (*file.networks, *subnets)
            yield there, missing(interface.subnet, known, "network or subnet")
        elif interface.subnet not in file.networks and len(subnets[interface.subnet]) > 1:
            yield there, f"{interface.subnet!r} means several subnets"
        elif not any(found == place for found, *_ in interfaces_of(file, router)):
            yield there, f"network {interface.subnet!r} has no subnet"
    found = list(interfaces_of(file, router))
    for place, _, subnet, address in found:
        there = (*here, "interfaces", place)
        if address and ipaddress.ip_address(address) not in ipaddress.ip_network(subnet.cidr):
            yield (*there, "ip_address"), f"{address} is not in {subnet.cidr}"
        if not address and "gateway_ip" in subnet.model_fields_set and not subnet.gateway_ip:
            yield there, f"{subnet.cidr} has no gateway_ip: ip_address is needed here"
        if not address and subnet.gateway_ip and _is_link_local(subnet.gateway_ip):
            what = f"the gateway {subnet.gateway_ip} is not in {subnet.cidr}"
            yield there, f"{what}: ip_address is needed here"
    for (_, one_net, one, _), (place, other_net, other, _) in combinations(found, 2):
        if _overlap(one.cidr, other.cidr):
            what = (
                f"{other.cidr} of {other_net!r} overlaps {one.cidr} of {one_net!r}, on one router"
            )
            yield (*here, "interfaces", place), what
    outside = file.networks.get(gateway.network) if gateway else None
    reached = [subnet.cidr for _, _, subnet, _ in found]
    reached += [subnet.cidr for subnet in outside.subnets] if outside else []
    for place, route in enumerate(router.routes):
        hop = ipaddress.ip_address(route.nexthop)
        if not any(hop in ipaddress.ip_network(cidr) for cidr in reached):
            what = f"{route.nexthop} is on none of this router's subnets"
            yield (*here, "routes", place, "nexthop"), what


def _loops(file: LabFile) -> Iterator[Found]:
    """Yield the routes by which a packet would come back to the router that sent it."""
    owner: dict[str, str] = {}
    for name, router in file.routers.items():
        for _, _, subnet, address in interfaces_of(file, router):
            owner[address or gateway_of(subnet)] = name
    ways: Mapping[tuple[str, str], str] = {
        (name, route.destination): owner[route.nexthop]
        for name, router in file.routers.items()
        for route in router.routes
        if route.nexthop in owner
    }
    for name, router in file.routers.items():
        for place, route in enumerate(router.routes):
            seen, here = [name], ways.get((name, route.destination))
            while here and here not in seen:
                seen.append(here)
                here = ways.get((here, route.destination))
            if here == name:
                way = " → ".join([*seen, name])
                what = f"a loop: what goes to {route.destination} goes {way}"
                yield ("routers", name, "routes", place), what


def gateway_of(subnet: Subnet) -> str:
    """Return the address of a subnet's gateway: as given, else the first."""
    return subnet.gateway_ip or usual_gateway(subnet.cidr)


def usual_gateway(cidr: str) -> str:
    """Return the first address of hosts, or the only one."""
    network = ipaddress.ip_network(cidr)
    return str(network[min(1, network.num_addresses - 1)])


def usual_pools(cidr: str, gateway: str | None) -> list[dict[str, str]]:
    """Return the pools that Neutron makes: all addresses of hosts, without the gateway's.

    neutron: ipam.utils.generate_pools.
    """
    network = ipaddress.ip_network(cidr)
    first, last = 0, network.num_addresses - 1
    if network.version == IPV6 or last > 1:
        # The last one of IPv4 is the broadcast's.
        first, last = min(1, last), last - (network.version != IPV6)
    ranges = [(first, last)]
    if gateway is not None and first < last and ipaddress.ip_address(gateway) in network:
        hop = int(ipaddress.ip_address(gateway)) - int(network[0])
        ranges = [(first, min(hop - 1, last)), (max(hop + 1, first), last)]
    made = [{"start": str(network[a]), "end": str(network[b])} for a, b in ranges if a <= b]
    return sorted(made, key=lambda one: sorted(one.items()))


def nics(file: LabFile) -> dict[str, tuple[str, str]]:
    """Return the VM and the port's name of each NIC, by each word that means it."""
    found: dict[str, tuple[str, str]] = {}
    for vm, one in file.vms.items():
        names = nic_names(vm, one)
        found |= {name: (vm, name) for name in names if name}
        if len(names) == 1:
            found.setdefault(vm, (vm, names[0]))
    return found


def _trunks(file: LabFile) -> Iterator[Found]:
    known = nics(file)
    parents: dict[tuple[str, str], str] = {}
    names: dict[str, str] = {name: f"VM {vm!r}" for vm, name in known.values()}
    for name, trunk in file.trunks.items():
        here: Path = ("trunks", name)
        if trunk.port not in known:
            subs = {s for t, one in file.trunks.items() for s in subport_names(t, one)}
            if trunk.port in subs:
                yield (*here, "port"), f"{trunk.port!r} is a trunk's subport: no trunk has trunks"
            else:
                yield (*here, "port"), _no_nic(file, trunk.port)
        elif (parent := known[trunk.port]) in parents:
            yield (*here, "port"), f"{trunk.port!r} is the parent of trunk {parents[parent]!r}, too"
        else:
            parents[parent] = name
        tags: list[int] = []
        for place, sub in enumerate(trunk.sub_ports):
            there: Path = (*here, "sub_ports", place)
            if sub.segmentation_id in tags:
                what = f"the trunk has another subport with {sub.segmentation_id}"
                yield (*there, "segmentation_id"), what
            tags.append(sub.segmentation_id)
            called = subport_names(name, trunk)[place]
            if called in names:
                yield there, f"{names[called]} has a port with the name {called!r}, too"
            names[called] = f"trunk {name!r}"


def _floating_ips(file: LabFile) -> Iterator[Found]:
    known = nics(file)
    for name, one in file.floating_ips.items():
        here: Path = ("floating_ips", name)
        if name not in known:
            yield here, _no_nic(file, name)
        if one.network not in file.networks:
            yield (*here, "network"), missing(one.network, file.networks, "network")
        elif not file.networks[one.network].external:
            yield (*here, "network"), f"network {one.network!r} is not external (external: true)"


def _no_nic(file: LabFile, word: str) -> str:
    if word in file.vms:
        names = ", ".join(filter(None, nic_names(word, file.vms[word])))
        return f"VM {word!r} has several NICs: {names}"
    return missing(word, nics(file), "NIC or VM")


def _is_link_local(address: str) -> bool:
    """Tell whether it is an address of IPv6 that each link has."""
    found = ipaddress.ip_address(address)
    return found.version == IPV6 and found.is_link_local


def _overlap(one: str, other: str) -> bool:
    first, second = ipaddress.ip_network(one), ipaddress.ip_network(other)
    return first.version == second.version and first.overlaps(second)
