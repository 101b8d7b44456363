"""Whether a lab would work on this machine, decided of what was found there."""

from __future__ import annotations

from collections.abc import Iterable

from fakevm.clients.containers import About, Container
from fakevm.errors import ConflictError, FakevmError
from fakevm.preflight import shared
from fakevm.preflight.values import Check, Kernel, Machine, State, Wanted
from fakevm.preflight.words import count, dotted, enough, gb, numbers, unless

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
    return [*found, *shared.limits(kernel, machine, wanted)]


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
    needed = f"Docker {dotted(ENGINE_VERSION)}"
    about = machine.engine
    if isinstance(about, FakevmError):
        return _failure("docker_engine", about, needed)
    old = numbers(about.version) < ENGINE_VERSION
    return Check(
        check="docker_engine",
        state="warning" if old else "ok",
        found=f"{about.version} (API {about.api})",
        needed=needed,
        mend="install a newer Docker Engine; a checkout's `make docker` does" if old else "",
    )


def _compose(machine: Machine, wanted: Wanted) -> Check:
    needed = f"Compose {dotted(wanted.compose_version)}"
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
            state=enough(machine.disk_mb, least=need, need=need + SPARE_DISK_MB),
            found=f"{gb(machine.disk_mb)} free",
            needed=f"{gb(need)}" + (", with the build of the images" if wanted.images else ""),
            mend=unless(machine.disk_mb >= need + SPARE_DISK_MB, "docker system prune"),
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
            needed="those of this fakevm, or `up` gets or builds them (some minutes)",
            mend=unless(not found, "fakevm build"),
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
            found=f"{gb(kernel.memory_mb)} available",
            needed=f"{gb(need)} for {count(len(hosts), 'more host')}, without VMs",
            mend=unless(state == "ok", "fewer hosts: --computes N; or end what takes it"),
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
            mend=unless(kernel.has_tun, "sudo modprobe tun"),
        )
    if kernel.has_openvswitch is not None:
        yield _openvswitch(kernel, wanted)
    if kernel.has_iptables is not None:
        yield Check(
            check="iptables",
            state="ok" if kernel.has_iptables else "warning",
            found="there" if kernel.has_iptables else "neither nf_tables nor ip_tables is seen",
            needed="for routers' NAT and metadata, and --firewall iptables_hybrid",
            mend=unless(kernel.has_iptables, "sudo modprobe nf_tables"),
        )
    if kernel.has_ipv6 is not None:
        yield Check(
            check="ipv6",
            state="ok" if kernel.has_ipv6 else "warning",
            found="there" if kernel.has_ipv6 else "disabled in the kernel",
            needed="for IPv6 subnets",
            mend=unless(
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
        mend=unless(state == "ok", mend),
    )


def _own(machine: Machine, wanted: Wanted) -> list[Container]:
    return [c for c in machine.containers if c.lab == wanted.lab]
