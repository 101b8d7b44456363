"""Whether a lab would work on this machine, decided of what was found there."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from fakevm.backends.backend import Backend
from fakevm.clients.engine import About, Container
from fakevm.errors import ConflictError, FakevmError
from fakevm.labs.images import Unfit

State = Literal["ok", "warning", "failed"]

# The oldest engine that labs were seen to work with.
ENGINE_VERSION = (20, 10)

# Images of one release take 0.8 GB, what their build keeps as much (`docker system df`), and while
# it goes on pip and apt have some more.
BUILD_MB = 2500
# A new database is 114 MB; logs.
LAB_DISK_MB = 250
# What a host writes: Open vSwitch's database, its log.
HOST_DISK_MB = 20
# What the engine and the machine go on with.
SPARE_DISK_MB = 1000

# Of the memory that is needed when nothing goes on yet: as much that VMs and tests find room.
SPARE_MEMORY = 1.5

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
class Kernel:
    """What this machine's files say; None: they say nothing of it."""

    # As uname(1) has it.
    release: str = ""
    memory_mb: int | None = None
    # Free of what is there for when it does not suffice.
    swap_mb: int = 0
    has_tun: bool | None = None
    has_ipv6: bool | None = None
    has_openvswitch: bool | None = None
    # Whether it could be loaded.
    may_have_openvswitch: bool = False
    has_iptables: bool | None = None
    # By their path below /proc/sys, as far as they are there.
    limits: Mapping[str, int] = field(default_factory=dict)
    # Of the cgroup that containers are in, where it has one.
    pids: int | None = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What was found: this machine, its engine, and what the labs there have already."""

    # Or why it does not answer.
    engine: About | FakevmError
    # Compose's version, or what is wrong with it.
    compose: str | FakevmError
    kernel: Kernel
    # Of every lab.
    containers: tuple[Container, ...] = ()
    # What is free where the engine keeps its data.
    disk_mb: int | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The lab that is to work."""

    lab: str
    backend: Backend
    hosts: tuple[str, ...]
    datapath: str
    # By role.
    subnets: Mapping[str, str]
    compose_version: tuple[int, ...]
    # Which other network has these.
    collision: FakevmError | None = None
    # None: nobody can tell.
    images: Unfit | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """Something that a lab needs, and whether it is there."""

    check: str
    state: State
    found: str
    needed: str
    # The command that mends it, where something is wrong.
    mend: str = ""


def checks(machine: Machine, wanted: Wanted) -> list[Check]:
    """Return what the lab needs of this machine, and whether that is there; what is unknown: not.

    Where the engine has another kernel than this machine's, nothing of that is known.
    """
    found = [_engine(machine), _compose(machine, wanted)]
    about = machine.engine if isinstance(machine.engine, About) else None
    kernel = machine.kernel
    if about:
        here = _here(about, kernel)
        found += [here, _cgroups(about)]
        if here.state != "ok":
            kernel = Kernel()
        if here.state != "failed":
            found += _disk(machine, wanted)
        found += [*_images(wanted), _subnets(wanted)]
    found += [*_memory(kernel, machine, wanted), *_parts(kernel, wanted)]
    return [*found, *_shared(kernel, machine, wanted)]


def refuse(found: Iterable[Check]) -> None:
    """Raise ConflictError where one of them has failed, with all that have."""
    failed = [one for one in found if one.state == "failed"]
    if failed:
        raise ConflictError(
            "a lab would not work on this machine: " + "; ".join(map(words, failed)),
            hint="; ".join(dict.fromkeys(one.mend for one in failed if one.mend)),
        )


def words(one: Check) -> str:
    """Return what a check found, as a sentence's part."""
    return f"{one.check.replace('_', ' ')}: {one.found}; needed: {one.needed}"


def _engine(machine: Machine) -> Check:
    needed = f"Docker {_dotted(ENGINE_VERSION)}"
    about = machine.engine
    if isinstance(about, FakevmError):
        return _failure("docker_engine", about, needed)
    old = _numbers(about.version) < ENGINE_VERSION
    return Check(
        check="docker_engine",
        state="warning" if old else "ok",
        found=f"{about.version} (API {about.api})",
        needed=needed,
        mend="install a newer Docker Engine; a checkout's `make docker` does" if old else "",
    )


def _compose(machine: Machine, wanted: Wanted) -> Check:
    needed = f"Compose {_dotted(wanted.compose_version)}"
    if isinstance(machine.compose, FakevmError):
        return _failure("docker_compose", machine.compose, needed)
    return Check(check="docker_compose", state="ok", found=machine.compose, needed=needed)


def _failure(check: str, error: FakevmError, needed: str) -> Check:
    found = " ".join(str(error).split())
    return Check(check=check, state="failed", found=found, needed=needed, mend=error.hint)


def _here(about: About, kernel: Kernel) -> Check:
    """Return whether the engine publishes ports where we look for them, and what we see counts."""
    state: State = "ok"
    found, mend = about.endpoint, ""
    if not about.endpoint.startswith(("unix://", "tcp://127.", "tcp://localhost")):
        state, mend = "failed", "unset DOCKER_HOST; docker context use default"
    elif kernel.release != about.kernel:
        # Docker Desktop's, for one.
        state = "warning"
        found += f", with a kernel of its own, {about.kernel}: its limits can't be seen from here"
        mend = "fakevm doctor, on the engine's own machine"
    needed = "an engine on this machine: ports are published on its 127.0.0.1"
    return Check(check="engine_is_here", state=state, found=found, needed=needed, mend=mend)


def _cgroups(about: About) -> Check:
    missing = [
        name
        for name, there in (("memory", about.has_memory), ("pids", about.has_pids))
        if not there
    ]
    return Check(
        check="cgroups",
        state="warning" if missing else "ok",
        found=f"v{about.cgroups}" + (f", without {', '.join(missing)}" if missing else ""),
        needed="v1 or v2, with memory and pids",
        mend="cgroup_enable=memory on the kernel's command line, and a reboot" if missing else "",
    )


def _disk(machine: Machine, wanted: Wanted) -> list[Check]:
    if machine.disk_mb is None:
        return []
    mine = _own(machine, wanted)
    need = HOST_DISK_MB * len(set(wanted.hosts) - {c.service for c in mine})
    need += 0 if mine else LAB_DISK_MB
    need += BUILD_MB if wanted.images else 0
    return [
        Check(
            check="disk",
            state=_enough(machine.disk_mb, least=need, need=need + SPARE_DISK_MB),
            found=f"{_gb(machine.disk_mb)} free",
            needed=f"{_gb(need)}" + (", with the build of the images" if wanted.images else ""),
            mend=_unless(machine.disk_mb >= need + SPARE_DISK_MB, "docker system prune"),
        )
    ]


def _images(wanted: Wanted) -> list[Check]:
    if wanted.images is None:
        return []
    found = [
        *(f"{name} is missing" for name in wanted.images.missing),
        *(f"{name} is not of this fakevm's sources" for name in wanted.images.stale),
    ]
    return [
        Check(
            check="images",
            state="warning" if found else "ok",
            found=", ".join(found) or "all there",
            needed="those of this fakevm, or `up` builds them (some minutes)",
            mend=_unless(not found, "fakevm build"),
        )
    ]


def _subnets(wanted: Wanted) -> Check:
    needed = "subnets that no other Docker network has"
    if wanted.collision:
        return _failure("subnets", wanted.collision, needed)
    return Check(
        check="subnets", state="ok", found=", ".join(wanted.subnets.values()), needed=needed
    )


def _memory(kernel: Kernel, machine: Machine, wanted: Wanted) -> list[Check]:
    if kernel.memory_mb is None:
        return []
    running = {c.service for c in _own(machine, wanted) if c.running}
    hosts = set(wanted.hosts) - running
    need = wanted.backend.host_mb * len(hosts)
    need += 0 if "neutron-api" in running else wanted.backend.lab_mb
    state: State = "ok"
    if kernel.memory_mb < need * SPARE_MEMORY:
        state = "warning" if kernel.memory_mb + kernel.swap_mb >= need else "failed"
    return [
        Check(
            check="memory",
            state=state,
            found=f"{_gb(kernel.memory_mb)} available",
            needed=f"{_gb(need)} for {_count(len(hosts), 'more host')}, without VMs",
            mend=_unless(state == "ok", "fewer hosts: --computes N; or end what takes it"),
        )
    ]


def _parts(kernel: Kernel, wanted: Wanted) -> Iterable[Check]:
    """Yield what the kernel has to have."""
    if kernel.has_tun is not None:
        yield Check(
            check="tun",
            state="ok" if kernel.has_tun else "failed",
            found="/dev/net/tun" if kernel.has_tun else "no /dev/net/tun",
            needed="/dev/net/tun, which every host is given",
            mend=_unless(kernel.has_tun, "sudo modprobe tun"),
        )
    if kernel.has_openvswitch is not None:
        yield _openvswitch(kernel, wanted)
    if kernel.has_iptables is not None:
        yield Check(
            check="iptables",
            state="ok" if kernel.has_iptables else "warning",
            found="there" if kernel.has_iptables else "neither nf_tables nor ip_tables is seen",
            needed="for routers' NAT and metadata, and --firewall iptables_hybrid",
            mend=_unless(kernel.has_iptables, "sudo modprobe nf_tables"),
        )
    if kernel.has_ipv6 is not None:
        yield Check(
            check="ipv6",
            state="ok" if kernel.has_ipv6 else "warning",
            found="there" if kernel.has_ipv6 else "disabled in the kernel",
            needed="for IPv6 subnets",
            mend=_unless(
                kernel.has_ipv6, "no ipv6.disable=1 on the kernel's command line, and a reboot"
            ),
        )


def _openvswitch(kernel: Kernel, wanted: Wanted) -> Check:
    loaded, wished = bool(kernel.has_openvswitch), wanted.datapath
    mend = "sudo modprobe openvswitch"
    if not kernel.may_have_openvswitch:
        mend = f"install linux-modules-extra-{kernel.release}, where it is packaged; then {mend}"
    state: State = "ok"
    if not loaded and wished != "netdev":
        state = "failed" if wished == "system" else "warning"
    return Check(
        check="openvswitch",
        state=state,
        found="loaded" if loaded else "no such kernel module is loaded",
        needed={
            "system": "the kernel's datapath, by --datapath system",
            "netdev": "nothing, by --datapath netdev",
        }.get(wished, "for the kernel's datapath; without it, Open vSwitch's in userspace is used"),
        mend=_unless(state == "ok", mend),
    )


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
        return f"for {_count(self.all_hosts, 'host')}{labs}"

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


def _shared(kernel: Kernel, machine: Machine, wanted: Wanted) -> Iterable[Check]:
    """Yield the limits that all containers share, and what all labs together need of them."""
    crowd = _crowd(machine, wanted)
    hosts = crowd.all_hosts
    about = machine.engine if isinstance(machine.engine, About) else None

    def limit(check: str, sysctl: str, least: int, need: int, what: str) -> Iterable[Check]:
        if sysctl in kernel.limits:
            mend = f"sudo sysctl -w {sysctl.replace('/', '.')}={_round(need)}"
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
        mend = f"sudo systemctl set-property --runtime system.slice TasksMax={_round(need)}"
        yield _limit("pids_limit", kernel.pids, least=least, need=need, what=what, mend=mend)
    least, need = (each * hosts for each in CONNECTIONS)
    yield from limit("conntrack", CONNTRACK, least, need, f"connections {crowd.words}")
    what = f"for {_count(crowd.containers, 'container')}"
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
    state = _enough(found, least=least, need=need)
    return Check(
        check=check,
        state=state,
        found=f"at most {found}",
        needed=f"{need} {what}",
        mend=_unless(state == "ok", mend),
    )


def _enough(found: float, *, least: float, need: float) -> State:
    """Return how it is with what there is of something: enough, scarce, or too little."""
    return "ok" if found >= need else "warning" if found >= least else "failed"


def _unless(well: bool, mend: str) -> str:
    return "" if well else mend


def _round(need: int) -> int:
    """Return a power of two that is enough for twice as much."""
    return 1 << (2 * need - 1).bit_length()


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version's first two numbers, of "20.10.24+dfsg1"."""
    parts = version.split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _gb(mb: float) -> str:
    return f"{mb / 1000:.1f} GB"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _own(machine: Machine, wanted: Wanted) -> list[Container]:
    return [c for c in machine.containers if c.lab == wanted.lab]
