"""The limits that all containers of a machine share, and what all labs together need of them."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fakevm.clients.containers import About
from fakevm.preflight.values import Check, Kernel, Machine, Wanted
from fakevm.preflight.words import count, enough, rounded, unless

# What a host takes of a limit that all containers of a machine share: the least of one that has
# just started, and what one has with VMs, in tests. Seen on three labs of both backends with eleven
# hosts, while the stories ran: 124 and 98 neighbours (/proc/net/stat/arp_cache, ndisc_cache), 60 to
# 110 threads of a fresh host and up to 550 of a network host (pids.current), 739 connections.
NEIGHBOURS = (4, 16)
THREADS = (60, 400)
CONNECTIONS = (70, 500)
# The threads of a control plane, and those that a machine has anyhow, with a desktop or without.
SERVICES_THREADS = (150, 400)
OWN_THREADS = (300, 2000)

# With cgroups v2 containerd's shim has an inotify instance for each container, which tells it of
# the end of memory; nothing in a lab has one. Without, only that is not told.
# And what systemd and its like have: they are root, too.
OWN_INOTIFY = 40

# The kernel's, of one Linux bridge (BR_MAX_PORTS).
BRIDGE_PORTS = 1023
# Of a subnet: the network's, the bridge's and the broadcast address.
NOT_HOSTS = 3

PID_MAX = "kernel/pid_max"
THREADS_MAX = "kernel/threads-max"
NEIGHBOURS_4 = "net/ipv4/neigh/default/gc_thresh3"
NEIGHBOURS_6 = "net/ipv6/neigh/default/gc_thresh3"
INOTIFY = "fs/inotify/max_user_instances"
CONNTRACK = "net/netfilter/nf_conntrack_max"
KEYS = "kernel/keys/maxkeys"

# The limits that are read, below /proc/sys.
LIMITS = (PID_MAX, THREADS_MAX, NEIGHBOURS_4, NEIGHBOURS_6, INOTIFY, CONNTRACK, KEYS)


@dataclass(frozen=True, kw_only=True)
class _Crowd:
    """What shares this machine: every lab's hosts, by the lab whose networks they are on."""

    hosts: Mapping[str, int]
    # Control planes.
    labs: int
    containers: int
    # Of these, on the networks of the wanted lab.
    beside: int

    @property
    def words(self) -> str:
        """Whom a limit has to be enough for."""
        labs = f" of {self.labs} labs" if self.labs > 1 else ""
        return f"for {count(self.all_hosts, 'host')}{labs}"

    @property
    def all_hosts(self) -> int:
        """How many hosts there are."""
        return sum(self.hosts.values())

    @property
    def tunnels(self) -> int:
        """How many ends of tunnels there are, where every host has one to each other."""
        return sum(hosts * (hosts - 1) for hosts in self.hosts.values())


def _crowd(machine: Machine, wanted: Wanted) -> _Crowd:
    others = [c for c in machine.containers if c.running and c.lab != wanted.lab]
    hosts = Counter({wanted.lab: len(wanted.hosts) + 1})
    hosts.update(c.home or c.lab for c in others if c.is_host)
    # A service each, and network-1 among them.
    mine = len(wanted.backend.start_order) + len(wanted.hosts)
    return _Crowd(
        hosts=hosts,
        labs=1 + len({c.lab for c in others if not c.home}),
        containers=mine + len(others),
        beside=mine + sum(c.home == wanted.lab for c in others),
    )


def limits(kernel: Kernel, machine: Machine, wanted: Wanted) -> Iterable[Check]:
    """Yield the limits that all containers share, and what all labs together need of them."""
    crowd = _crowd(machine, wanted)
    hosts = crowd.all_hosts
    about = machine.engine if isinstance(machine.engine, About) else None

    def limit(check: str, sysctl: str, least: int, need: int, what: str) -> Iterable[Check]:
        if sysctl in kernel.limits:
            mend = f"sudo sysctl -w {sysctl.replace('/', '.')}={rounded(need)}"
            yield _limit(check, kernel.limits[sysctl], least=least, need=need, what=what, mend=mend)

    # By the userspace datapath the kernel has nothing to do with tunnels.
    tunnels = crowd.tunnels if kernel.has_openvswitch and wanted.datapath != "netdev" else 0
    least, need = (each * hosts for each in NEIGHBOURS)
    what = f"neighbours {crowd.words}"
    yield from limit("neighbours_ipv4", NEIGHBOURS_4, least, need + tunnels, what)
    yield from limit("neighbours_ipv6", NEIGHBOURS_6, least, need, what)
    least, need = (
        each * hosts + services * crowd.labs
        for each, services in zip(THREADS, SERVICES_THREADS, strict=True)
    )
    what = f"threads {crowd.words}"
    own_least, own = OWN_THREADS
    yield from limit("pid_max", PID_MAX, least + own_least, need + own, what)
    yield from limit("threads_max", THREADS_MAX, least + own_least, need + own, what)
    if kernel.pids is not None:
        mend = f"sudo systemctl set-property --runtime system.slice TasksMax={rounded(need)}"
        yield _limit("pids_limit", kernel.pids, least=least, need=need, what=what, mend=mend)
    least, need = (each * hosts for each in CONNECTIONS)
    yield from limit("conntrack", CONNTRACK, least, need, f"connections {crowd.words}")
    what = f"for {count(crowd.containers, 'container')}"
    if about and about.cgroups == "2":
        # Without one the end of memory is not told, and nothing else is amiss.
        yield from limit("inotify", INOTIFY, 0, crowd.containers + OWN_INOTIFY, what)
    if about and about.has_other_root:
        # runc's, of root's own there are a million.
        need = crowd.containers
        yield from limit("keys", KEYS, need, need, f"session keyrings {what}")
    if about:
        subnet = ipaddress.ip_network(wanted.subnets["management"])
        ports = min(BRIDGE_PORTS, subnet.num_addresses - NOT_HOSTS)
        what = "containers on the lab's management network"
        need = crowd.beside
        mend = "fewer hosts: --computes N, or a further lab"
        yield _limit("bridge_ports", ports, least=need, need=need, what=what, mend=mend)


def _limit(check: str, found: int, *, least: int, need: int, what: str, mend: str) -> Check:
    state = enough(found, least=least, need=need)
    return Check(
        check=check,
        state=state,
        found=f"at most {found}",
        needed=f"{need} {what}",
        mend=unless(state == "ok", mend),
    )
