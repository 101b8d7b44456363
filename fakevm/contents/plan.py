"""What is to be done so that a lab has what its file says: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fakevm import names
from fakevm.contents import differences, order
from fakevm.contents.change import Action, Change, Key
from fakevm.errors import ConflictError, FakevmError, NotFoundError, raise_all
from fakevm.stock import rules
from fakevm.stock.nearest import did_you_mean
from fakevm.stock.present import Present
from fakevm.stock.things import DESCRIPTION, TAG, TAGGED, Kind, Ref, Thing, ref

# Attributes for which a thing is made anew.
_ANEW: Mapping[Kind, frozenset[str]] = {
    "interface": frozenset({"ip_address"}),
    "sub_port": frozenset({"port_id"}),
    "floating_ip": frozenset({"floating_network_id", "floating_ip_address"}),
    "nic": frozenset(
        {"network_id", "binding:vnic_type", "mac_address", "fixed_ips", "_addressing"}
    ),
}

# Those that Neutron does not change, and fakevm makes nothing anew for.
_FIXED: Mapping[Kind, frozenset[str]] = {
    "network": frozenset(
        {"provider:network_type", "provider:physical_network", "provider:segmentation_id"}
    ),
    "subnet": frozenset({"ipv6_address_mode", "ipv6_ra_mode"}),
    "router": frozenset({"ha", "distributed"}),
    "port": frozenset({"network_id", "mac_address", "fixed_ips", "binding:vnic_type"}),
    "trunk": frozenset({"port_id"}),
}

# What hands a thing over to the file. For what the client tags not there is its description.
_SET: Mapping[Kind, str] = {
    "network": f"network set --tag {TAG}",
    "subnet": f"subnet set --tag {TAG}",
    "router": f"router set --tag {TAG}",
    "security_group": f"security group set --tag {TAG}",
    "port": f"port set --tag {TAG}",
    "nic": f"port set --tag {TAG}",
    "floating_ip": f"floating ip set --tag {TAG}",
    "trunk": f'network trunk set --description "{DESCRIPTION}"',
    "qos_policy": f'network qos policy set --description "{DESCRIPTION}"',
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All of it; what stands first needs nothing that stands later."""

    changes: tuple[Change, ...]
    # Where a VM of the file's is to be.
    hosts: Mapping[str, str] = field(default_factory=dict)
    # The file's things that are left, since nobody asked to remove them.
    left: tuple[Ref, ...] = ()


def of(wanted: Iterable[Thing], present: Present, *, prune: bool) -> Plan:
    """Return what leads from what there is to what is wanted; ConflictError, where nothing may."""
    return _Planning(list(wanted), present, prune=prune).plan()


class _Planning:
    def __init__(self, wanted: list[Thing], present: Present, *, prune: bool) -> None:
        self._wanted = {one.ref: one for one in wanted}
        self._present = present
        self._there = present.things
        self._prune = prune
        self._made: dict[Key, Change] = {}
        self._errors: list[FakevmError] = []
        self._left: list[Ref] = []
        self._hosts = self._choose_hosts()

    def plan(self) -> Plan:
        for thing in self._wanted.values():
            there = self._there.get(thing.ref)
            if thing.ref in self._present.ambiguous and not (there and there.ours):
                self._ambiguous(thing.ref)
            elif there is None:
                self._create(thing)
            else:
                self._compare(thing, there)
        self._surplus()
        self._follow_nics()
        self._free_parents()
        if self._errors:
            # Each is told; so is what mends each.
            hints = dict.fromkeys(error.hint for error in self._errors if error.hint)
            self._errors[0].hint = "; ".join(hints)
        raise_all(self._errors)
        return Plan(
            changes=tuple(order.ordered(self._made.values(), self._wanted)),
            hosts=self._hosts,
            left=tuple(sorted(self._left)),
        )

    def _add(self, action: Action, which: Ref, **values: Any) -> None:
        change = Change(action=action, ref=which, **values)
        self._made[change.key] = change

    # VMs and hosts

    def _choose_hosts(self) -> dict[str, str]:
        """Return the host of each VM: as wanted, as it is, or that with the fewest."""
        vms = [one for one in self._wanted.values() if one.ref.kind == "vm"]
        count = dict.fromkeys(self._present.hosts, 0)
        count |= {h: n for h, n in self._present.vms.items() if h in count}
        chosen, free = {}, []
        for vm in vms:
            name = vm.ref.names[0]
            there = self._there.get(vm.ref)
            here = there.attributes["host"] if there else None
            host = vm.attributes.get("host") or here
            if host is None:
                free.append(name)
                continue
            known = {*self._present.hosts, *self._present.silent, *([here] if here else [])}
            if host not in known:
                self._errors.append(
                    NotFoundError(
                        f"VM {name}: there is no compute host {host!r}{did_you_mean(host, known)}",
                        hint="fakevm status",
                    )
                )
            chosen[name] = host
            if here != host and host in count:
                count[host] += 1
        for name in free:
            if not count:
                self._errors.append(
                    ConflictError("no compute host is up and healthy", hint="fakevm status")
                )
                break
            chosen[name] = min(count, key=lambda host: (count[host], names.natural(host)))
            count[chosen[name]] += 1
        return chosen

    # What is wanted

    def _create(self, thing: Thing) -> None:
        which = thing.ref
        whole = which.whole
        made_with_it = (
            whole is not None
            and which.kind == "rule"
            and whole not in self._there
            and self._wanted[whole].made_with["_default_rules"]
            and which.names[1] in map(str, rules.DEFAULTS)
        )
        if made_with_it or (which.kind == "routes" and not thing.attributes["routes"]):
            return
        if not self._may_change(which, f"{which} is to be made in it"):
            return
        detail = ""
        if which.kind == "nic":
            detail = f"on {self._hosts.get(which.names[0], '')}"
        elif which.kind == "vm":
            nics = [one.names[1] for one in self._wanted if one.whole == which]
            detail = f"on {self._hosts.get(which.names[0], '')}, with {', '.join(nics)}"
        self._add("create", which, wanted=thing, attributes=thing.attributes, detail=detail)

    def _compare(self, thing: Thing, there: Thing) -> None:
        which = thing.ref
        differs = {
            name: value
            for name, value in thing.attributes.items()
            if differences.differs(value, there.attributes.get(name))
        }
        port = thing.made_with.get("port_id")
        if which.kind == "trunk" and port != there.made_with["port_id"]:
            differs["port_id"] = port
        if not differs:
            if there.ours and not there.tagged and which.kind in TAGGED:
                self._add("tag", which, wanted=thing, present=there)
            return
        words = ", ".join(
            differences.told(name, there.attributes.get(name), value)
            for name, value in differs.items()
        )
        if not self._may_change(which, words):
            return
        if fixed := sorted(_FIXED.get(which.kind, frozenset()) & differs.keys()):
            self._errors.append(
                ConflictError(
                    f"{which}: Neutron does not change {', '.join(fixed)} of what is there"
                    f" ({words})",
                    hint="take it out of the file, `fakevm up --prune`, and put it in again",
                )
            )
            return
        if differs.keys() & _ANEW.get(which.kind, frozenset()):
            self._anew(thing, there, words)
            return
        if which.kind == "vm":
            if there.attributes["host"]:
                self._add("move", which, wanted=thing, present=there, detail=words)
            return
        if which.kind == "routes":
            self._routes(thing, there)
            return
        if which.kind == "subnet" and differs.get("gateway_ip"):
            # It may be of none of the pools, which Neutron leaves as they are.
            differs.setdefault(
                "allocation_pools",
                thing.attributes.get("allocation_pools", thing.made_with["_pools"]),
            )
        if which.kind == "floating_ip":
            differs = _whole_end(thing)
        plug = differs.pop("_plugged", None)
        if differs:
            self._add(
                *("change", which), wanted=thing, present=there, attributes=differs, detail=words
            )
        if plug:
            host = self._hosts.get(which.names[0], "")
            self._add("plug", which, wanted=thing, present=there, detail=f"on {host}")

    def _anew(self, thing: Thing, there: Thing, words: str) -> None:
        self._add("delete", thing.ref, present=there, detail=f"it is made anew: {words}")
        detail = f"anew: {words}"
        self._add("create", thing.ref, wanted=thing, attributes=thing.attributes, detail=detail)

    def _routes(self, thing: Thing, there: Thing) -> None:
        """Take routes away first, which may be in an interface's way, and add others at last."""
        wanted, here = thing.attributes["routes"], there.attributes["routes"]
        both = [one for one in here if one in wanted]
        steps: tuple[tuple[Action, Any, Any, str], ...] = (
            ("release", here, both, "without"),
            ("change", both, wanted, "with"),
        )
        for action, before, after, word in steps:
            if after != before:
                moved = [one for one in (*before, *after) if (one in before) != (one in after)]
                self._add(
                    *(action, thing.ref),
                    wanted=thing,
                    present=there,
                    attributes={"routes": after},
                    detail=f"{word} {', '.join(map(differences.route, moved))}",
                )

    def _let_go(self, there: Thing) -> None:
        """Take a router's routes away, for which Neutron keeps its interfaces."""
        if routes := there.attributes["routes"]:
            detail = f"without {', '.join(map(differences.route, routes))}"
            self._add(
                *("release", there.ref), present=there, attributes={"routes": []}, detail=detail
            )

    def _may_change(self, which: Ref, what: str) -> bool:
        """Tell whether the file may change a thing that is there; else it is a conflict."""
        owner = self._there.get(which)
        if owner is None:
            whole = which.whole
            owner = self._there.get(whole) if whole else None
        if owner is None or owner.ours:
            return True
        self._errors.append(
            ConflictError(
                f"{owner.ref} is there, and was not made by a file or the library ({what})",
                hint=self._hand_over(owner),
            )
        )
        return False

    def _hand_over(self, owner: Thing) -> str:
        """Return the command that gives a thing to the file."""
        mine = [owner]
        if owner.ref.kind == "vm":
            mine = [one for one in self._there.values() if one.ref.whole == owner.ref]
        return "; ".join(f"fakevm openstack {_SET[one.ref.kind]} {one.id}" for one in mine)

    def _ambiguous(self, which: Ref) -> None:
        self._errors.append(
            ConflictError(
                f"there are several of the name {which}, and none is the file's",
                hint="rename or delete all but one of them",
            )
        )

    # What is not

    def _surplus(self) -> None:
        for which, there in self._there.items():
            if which in self._wanted or not there.ours:
                continue
            if _is_default(which):
                continue
            whole = self._part_of(which)
            if which.kind == "routes" and whole not in self._wanted and self._prune:
                self._let_go(there)
            if whole is None or (whole not in self._wanted and not _goes_along(which)):
                if which.kind == "port" and self._stays_a_nic(there):
                    continue
                if self._prune:
                    self._add("delete", which, present=there)
                elif whole is None:
                    self._left.append(which)
            elif whole in self._wanted and (which.kind == "nic" or not self._nic_of(there)):
                self._add("delete", which, present=there, detail="the file no longer has it")

    def _part_of(self, which: Ref) -> Ref | None:
        """Return what a thing is a part of: a subport's port of its trunk."""
        if which.kind == "port" and ref("trunk", which.names[0]) in self._there:
            return ref("trunk", which.names[0])
        return which.whole

    def _stays_a_nic(self, there: Thing) -> bool:
        """Tell whether a port of a trunk's is a NIC that stays."""
        nic = self._nic_of(there)
        return nic is not None and (nic.ref in self._wanted or not self._prune)

    def _nic_of(self, port: Thing) -> Thing | None:
        """Return the NIC that a port is."""
        nics = (one for one in self._there.values() if one.ref.kind == "nic")
        return next((nic for nic in nics if nic.id == port.id), None)

    def _follow_nics(self) -> None:
        """A NIC that is made anew has another port, of which others are to hear."""
        for (action, which), change in list(self._made.items()):
            if action != "create" or which.kind != "nic" or which not in self._there:
                continue
            for other, thing in self._wanted.items():
                if (
                    other.kind == "floating_ip"
                    and thing.attributes["port_id"] == which
                    and other in self._there
                    and not {("create", other), ("change", other)} & self._made.keys()
                ):
                    self._add(
                        *("change", other),
                        wanted=thing,
                        present=self._there[other],
                        attributes=_whole_end(thing),
                        detail=f"{change.ref} is another port",
                    )

    def _free_parents(self) -> None:
        """A trunk comes and goes while no VM has its port: a NIC leaves its VM for that time.

        ML2/OVS takes no port that is bound.
        """
        for (action, which), change in list(self._made.items()):
            trunk = change.wanted or change.present
            if which.kind != "trunk" or action not in ("create", "delete") or trunk is None:
                continue
            port = self._there.get(trunk.made_with["port_id"])
            nic = self._nic_of(port) if port else None
            vm = self._there.get(ref("vm", nic.ref.names[0])) if nic else None
            if nic is None or vm is None or not vm.attributes["host"]:
                continue
            if {("delete", nic.ref), ("delete", vm.ref)} & self._made.keys():
                continue
            host = self._hosts.setdefault(vm.ref.names[0], vm.attributes["host"])
            as_it_is = {"_addressing": _choice(nic.attributes["_addressing"])}
            again = Thing(ref=nic.ref, attributes=as_it_is, made_with={"_place": 0})
            again = self._wanted.get(nic.ref, again)
            self._add("release", nic.ref, present=nic, detail=f"for {which}")
            self._add("plug", nic.ref, wanted=again, present=nic, detail=f"on {host}")


def _whole_end(floating_ip: Thing) -> dict[str, Any]:
    """Return where a floating IP leads: Neutron takes no address without its port."""
    wanted = floating_ip.attributes.items()
    return {name: one for name, one in wanted if name in ("port_id", "fixed_ip_address")}


def _choice(addressing: frozenset[str]) -> str:
    """Return one of the words that say how a NIC comes by its addresses."""
    return next((one for one in ("dhcp", "static", "none") if one in addressing), "dhcp")


def _goes_along(which: Ref) -> bool:
    """Tell whether it goes with its whole; Neutron deletes no router that has interfaces."""
    return which.whole is not None and which.kind != "interface"


def _is_default(which: Ref) -> bool:
    """Tell whether it is the group that Neutron makes for each project, or of it."""
    return which == ref("security_group", "default")
