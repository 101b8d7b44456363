"""What has to be done before what: pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from fakevm.contents.change import Change, Key
from fakevm.stock.things import Ref, Thing, ref, refs_in


def ordered(changes: Collection[Change], wanted: Mapping[Ref, Thing]) -> list[Change]:
    """Return changes with what each needs, which stands before it."""
    order = _Order({one.key: one for one in changes}, wanted)
    return _sorted([order.with_needs(one) for one in changes])


class _Order:
    def __init__(self, made: Mapping[Key, Change], wanted: Mapping[Ref, Thing]) -> None:
        self._made = made
        self._wanted = wanted

    def with_needs(self, change: Change) -> Change:
        """Return a change with what it needs."""
        needs = set(self._needs(change)) - {change.key}
        values = {**vars(change), "needs": frozenset(one for one in needs if one in self._made)}
        return Change(**values)

    def _needs(self, change: Change) -> Iterator[Key]:
        which, wanted = change.ref, change.wanted
        if change.action in ("delete", "release"):
            yield from self._before_deletion(which)
            if change.action == "release" and which.kind == "nic":
                yield "move", ref("vm", which.names[0])
            return
        whole = which.whole
        if whole and which.kind != "nic":
            yield "create", whole
        values = [change.attributes, wanted.made_with if wanted else {}]
        for one in refs_in(values):
            yield "create", one
            if one.kind == "network" and which.kind in ("port", "nic", "router", "floating_ip"):
                # Its addresses are of the subnets that are there by then.
                yield from (k for k in self._made if k[1].kind == "subnet" and k[1].whole == one)
                if change.action == "create":
                    # A port has its network's port security.
                    yield "change", one
        yield "delete", which
        match which.kind:
            case "vm":
                for key in self._made:
                    if key[1].whole == which and (change.action == "create" or key[0] == "delete"):
                        yield key
            case "nic":
                yield from self._before_nic(change)
            case "routes":
                yield "release", which
                # The way outside of a next hop.
                yield "change", ref("router", *which.names)
                yield from (k for k in self._made if k[1].kind == "interface" and k[0] == "create")
            case "floating_ip":
                yield from (k for k in self._made if k[1].kind in ("interface", "router"))
                yield from (k for k in self._made if k[1].kind == which.kind and k[0] == "delete")
            case "interface":
                if wanted:
                    # It is at the gateway's address.
                    yield "change", wanted.made_with["subnet_id"]
                # Another router's, with the same address.
                yield from (
                    ("delete", one)
                    for _, one in self._made
                    if one.kind == "interface" and one.names[1:] == which.names[1:]
                )
            case "router":
                # Neutron changes no gateway that floating IPs are behind.
                yield from (
                    k for k in self._made if k[0] == "delete" and k[1].kind == "floating_ip"
                )
            case "subnet" | "rule":
                # A subnet may overlap one that goes, a rule be another word for it.
                yield from (
                    k
                    for k in self._made
                    if k[0] == "delete" and k[1].kind == which.kind and k[1].whole == which.whole
                )
                if which.kind == "subnet":
                    # Neutron changes no gateway that a router has.
                    yield from (
                        k
                        for k in self._made
                        if k[0] == "delete"
                        and k[1].kind == "interface"
                        and k[1].names[1:] == which.names
                    )
            case "network":
                # One that goes may have its segment; what leaves that for this one waits for it.
                yield from (
                    one.key
                    for one in self._made.values()
                    if one.action == "delete"
                    and one.ref.kind == which.kind
                    and one.present
                    and wanted
                    and _one_segment(wanted, one.present)
                    and not self._is_left_for(one.ref, which)
                )
            case "port" | "sub_port" | "trunk":
                yield from (k for k in self._made if k[0] == "delete" and k[1].kind == which.kind)
                if which.kind == "trunk":
                    yield from self._releases_of_nics()

    def _before_nic(self, change: Change) -> Iterator[Key]:
        which, wanted = change.ref, change.wanted
        vm = ref("vm", which.names[0])
        yield "move", vm
        if change.action == "plug" and ("release", which) in self._made:
            yield "release", which
            yield from (k for k in self._made if k[1].kind in ("trunk", "sub_port"))
        network = change.attributes.get("network_id")
        place = wanted.made_with["_place"] if wanted else 0
        port = wanted.made_with.get("_port") if wanted else None
        if port:
            network = self._wanted[port].attributes["network_id"]
        for action, one in self._made:
            # Its addresses are on what is there by then; a trunk's port is bound after the trunk is
            # made.
            if (one.kind == "subnet" and network and one.names[0] == network.names[0]) or (
                action == "delete" and one.kind in ("nic", "vm")
            ):
                yield action, one
            if one.kind == "nic" and one.whole == vm and action == "create":
                other = self._made[action, one].wanted
                if other and other.made_with["_place"] < place:
                    yield action, one
            if port and action == "create" and one.kind in ("trunk", "sub_port"):
                trunk = self._wanted[ref("trunk", one.names[0])]
                if trunk.made_with["port_id"] == port:
                    yield action, one

    def _is_left_for(self, before: Ref, after: Ref) -> bool:
        """Tell whether something is changed from one network to another."""
        return any(
            before in refs_in(change.present.attributes) and after in refs_in(change.attributes)
            for change in self._made.values()
            if change.action == "change" and change.present
        )

    def _releases_of_nics(self) -> Iterator[Key]:
        return (k for k in self._made if k[0] == "release" and k[1].kind == "nic")

    def _before_deletion(self, which: Ref) -> Iterator[Key]:
        """Yield what has to leave a thing first: whatever names it now."""
        for key, change in self._made.items():
            there = change.present
            if there is None or key[0] == "release" or which in {*refs_in(change.attributes)}:
                # What names it still will name it anew.
                continue
            named = {*refs_in(there.attributes), *refs_in(there.made_with)}
            if which in named or (there.ref.whole == which and key[0] == "delete"):
                yield key
        match which.kind:
            case "interface":
                yield "release", ref("routes", which.names[0])
                yield from (
                    k for k in self._made if k[0] == "delete" and k[1].kind == "floating_ip"
                )
            case "trunk" | "port":
                # Neutron keeps a trunk whose parent a VM has.
                yield from self._releases_of_nics()
                yield from (
                    k for k in self._made if k[0] == "delete" and k[1].kind in ("vm", "nic")
                )
                if which.kind == "port":
                    yield from (
                        k
                        for k in self._made
                        if k[0] == "delete" and k[1].kind in ("trunk", "sub_port")
                    )
            case "subnet":
                for action, one in self._made:
                    if action == "delete" and one.kind in ("nic", "vm", "port"):
                        yield action, one
            case "router":
                yield from (
                    k for k in self._made if k[0] == "delete" and k[1].kind == "floating_ip"
                )
            case "network":
                yield from (
                    k
                    for k in self._made
                    if k[0] == "delete" and k[1].kind in ("vm", "nic", "port", "router")
                )
            case "security_group" | "qos_policy":
                yield from (
                    k for k in self._made if k[0] == "delete" and k[1].kind in ("vm", "network")
                )


def _one_segment(wanted: Thing, there: Thing) -> bool:
    """Tell whether two networks may be of one segment: all that is said of it is so there."""
    said = {name: one for name, one in wanted.attributes.items() if name.startswith("provider:")}
    return bool(said) and all(there.attributes.get(name) == one for name, one in said.items())


def _sorted(changes: Collection[Change]) -> list[Change]:
    """Return changes so that what one needs stands before it."""
    waiting = {one.key: one for one in changes}
    done: list[Change] = []
    while waiting:
        ready = [one for one in waiting.values() if not one.needs & waiting.keys()]
        if not ready:
            circle: dict[Ref, list[Key]] = defaultdict(list)
            for one in waiting.values():
                circle[one.ref] += one.needs & waiting.keys()
            words = "; ".join(f"{which} needs {needs}" for which, needs in circle.items())
            raise AssertionError(f"changes that wait for each other: {words}")
        for one in ready:
            del waiting[one.key]
        done += ready
    return done
