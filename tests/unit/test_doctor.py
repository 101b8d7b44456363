"""What a lab needs of a machine, and whether that is there."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import docker
import pytest
from click.testing import CliRunner

from fakevm.backends.ovn import OVN
from fakevm.backends.ovs import OVS
from fakevm.cli.root import cli
from fakevm.cli.session import Session
from fakevm.clients.containers import About, Container, Network
from fakevm.clients.engine import Engine
from fakevm.errors import ConflictError, UnavailableError
from fakevm.preflight import machine
from fakevm.preflight.checks import checks, refuse
from fakevm.preflight.doctor import examine, require
from fakevm.preflight.shared import (
    CONNTRACK,
    INOTIFY,
    KEYS,
    LIMITS,
    NEIGHBOURS_4,
    NEIGHBOURS_6,
    PID_MAX,
    THREADS_MAX,
)
from fakevm.preflight.values import Check, Kernel, Machine, State, Wanted
from fakevm.recipe import images
from fakevm.recipe.compose import COMPOSE_VERSION
from fakevm.recipe.decide import wanted_of
from fakevm.recipe.images import Unfit
from fakevm.recipe.settings import Existing, Wishes
from fakevm.recipe.subnets import slice_of
from tests.fakes.engine import FakeEngine, make_container

ABOUT = About(
    endpoint="unix:///var/run/docker.sock",
    version="28.0.1",
    api="1.48",
    root="/var/lib/docker",
    kernel="6.1",
    cgroups="2",
    has_memory=True,
    has_pids=True,
    has_other_root=False,
)

# What a runner of GitHub's and many a laptop have.
ORDINARY = {
    PID_MAX: 4194304,
    THREADS_MAX: 127000,
    NEIGHBOURS_4: 1024,
    NEIGHBOURS_6: 1024,
    INOTIFY: 128,
    CONNTRACK: 262144,
    KEYS: 200,
}

KERNEL = Kernel(
    release="6.1",
    memory_mb=14000,
    has_tun=True,
    has_ipv6=True,
    has_openvswitch=True,
    has_iptables=True,
    limits=ORDINARY,
)

MACHINE = Machine(engine=ABOUT, compose="2.26.1", kernel=KERNEL, disk_mb=14000)


def make_wanted(computes: int = 3, **attributes: object) -> Wanted:
    made = Wanted(
        lab="fakevm",
        backend=OVS,
        hosts=tuple(f"compute-{number}" for number in range(1, computes + 1)),
        datapath="auto",
        subnets=slice_of(0),
        compose_version=COMPOSE_VERSION,
        images=Unfit(),
    )
    return replace(made, **attributes)  # type: ignore[arg-type]


def with_kernel(**attributes: object) -> Machine:
    return replace(MACHINE, kernel=replace(KERNEL, **attributes))  # type: ignore[arg-type]


def with_engine(**attributes: object) -> Machine:
    return replace(MACHINE, engine=replace(ABOUT, **attributes))  # type: ignore[arg-type]


def with_limit(name: str, number: int) -> Machine:
    return with_kernel(limits={**ORDINARY, name: number})


def find(name: str, found: Sequence[Check]) -> Check:
    (one,) = (check for check in found if check.check == name)
    return one


def running(lab: str, hosts: int) -> list[Container]:
    """Return the containers of another lab."""
    names = ("mariadb", "neutron-api", "network-1", *(f"compute-{n}" for n in range(1, hosts + 1)))
    return [make_container(name, lab=lab) for name in names]


@pytest.mark.parametrize("backend", [OVS, OVN])
@pytest.mark.parametrize("unfit", [Unfit(), Unfit(missing=("fakevm/host:28.0.2",))])
def test_an_ordinary_machine_is_enough(backend: object, unfit: Unfit) -> None:
    found = checks(MACHINE, make_wanted(backend=backend, images=unfit))
    assert [check for check in found if check.state != "ok"] == [
        check for check in found if check.check == "images" and unfit
    ]
    without_module = with_kernel(has_openvswitch=False)
    states = {check.check: check.state for check in checks(without_module, make_wanted())}
    assert {name for name, state in states.items() if state != "ok"} == {"openvswitch"}


STATES: list[tuple[str, Machine, State, Mapping[str, object]]] = [
    ("docker_engine", with_engine(version="20.10.24+dfsg1"), "ok", {}),
    ("docker_engine", with_engine(version="19.03.1"), "warning", {}),
    ("docker_engine", replace(MACHINE, engine=UnavailableError("no", hint="x")), "failed", {}),
    ("docker_compose", replace(MACHINE, compose=UnavailableError("no", hint="x")), "failed", {}),
    ("engine_is_here", with_engine(endpoint="tcp://127.0.0.1:2375"), "ok", {}),
    ("engine_is_here", with_engine(kernel="6.1-linuxkit"), "warning", {}),
    ("engine_is_here", with_engine(endpoint="ssh://away"), "failed", {}),
    ("cgroups", with_engine(cgroups="1"), "ok", {}),
    ("cgroups", with_engine(has_memory=False), "warning", {}),
    ("disk", replace(MACHINE, disk_mb=1500), "ok", {}),
    ("disk", replace(MACHINE, disk_mb=1000), "warning", {}),
    ("disk", replace(MACHINE, disk_mb=200), "failed", {}),
    ("disk", replace(MACHINE, disk_mb=1500), "failed", {"images": Unfit(stale=("fakevm/host:1",))}),
    ("images", MACHINE, "warning", {"images": Unfit(stale=("fakevm/host:28.0.2",))}),
    ("subnets", MACHINE, "failed", {"collision": ConflictError("in use", hint="x")}),
    ("memory", with_kernel(memory_mb=3200), "ok", {}),
    ("memory", with_kernel(memory_mb=2200), "warning", {}),
    ("memory", with_kernel(memory_mb=2000), "failed", {}),
    ("memory", with_kernel(memory_mb=2000, swap_mb=2000), "warning", {}),
    ("tun", with_kernel(has_tun=False), "failed", {}),
    ("openvswitch", with_kernel(has_openvswitch=False), "warning", {}),
    ("openvswitch", with_kernel(has_openvswitch=False), "ok", {"datapath": "netdev"}),
    ("openvswitch", with_kernel(has_openvswitch=False), "failed", {"datapath": "system"}),
    ("iptables", with_kernel(has_iptables=False), "warning", {}),
    ("ipv6", with_kernel(has_ipv6=False), "warning", {}),
    ("neighbours_ipv4", with_limit(NEIGHBOURS_4, 76), "ok", {}),
    ("neighbours_ipv4", with_limit(NEIGHBOURS_4, 75), "warning", {}),
    ("neighbours_ipv4", with_limit(NEIGHBOURS_4, 15), "failed", {}),
    ("neighbours_ipv6", with_limit(NEIGHBOURS_6, 63), "warning", {}),
    ("neighbours_ipv6", with_limit(NEIGHBOURS_6, 15), "failed", {}),
    ("pid_max", with_limit(PID_MAX, 4000), "ok", {}),
    ("pid_max", with_limit(PID_MAX, 3000), "warning", {}),
    ("pid_max", with_limit(PID_MAX, 600), "failed", {}),
    ("threads_max", with_limit(THREADS_MAX, 3000), "warning", {}),
    ("threads_max", with_limit(THREADS_MAX, 600), "failed", {}),
    ("pids_limit", with_kernel(pids=2000), "ok", {}),
    ("pids_limit", with_kernel(pids=1999), "warning", {}),
    ("pids_limit", with_kernel(pids=300), "failed", {}),
    ("conntrack", with_limit(CONNTRACK, 1999), "warning", {}),
    ("conntrack", with_limit(CONNTRACK, 100), "failed", {}),
    # The end of memory is not told, no more.
    ("inotify", with_limit(INOTIFY, 50), "warning", {}),
    ("keys", with_engine(has_other_root=True), "ok", {}),
    ("bridge_ports", MACHINE, "ok", {}),
    (
        "bridge_ports",
        MACHINE,
        "failed",
        {"subnets": {**slice_of(0), "management": "198.18.0.0/29"}},
    ),
]


@pytest.mark.parametrize(("name", "there", "state", "wanted"), STATES)
def test_what_is_wrong_has_what_mends_it(
    name: str, there: Machine, state: State, wanted: Mapping[str, object]
) -> None:
    found = find(name, checks(there, make_wanted(**wanted)))  # type: ignore[arg-type]
    assert found.state == state
    assert bool(found.mend) == (state != "ok")
    assert found.found
    assert found.needed


@pytest.mark.parametrize("sysctl", [NEIGHBOURS_4, PID_MAX, CONNTRACK])
def test_a_limit_is_raised_so_far_that_it_is_enough(sysctl: str) -> None:
    (low,) = (one for one in checks(with_limit(sysctl, 1), make_wanted()) if one.state != "ok")
    command, _, number = low.mend.partition("=")
    assert command == f"sudo sysctl -w {sysctl.replace('/', '.')}"
    there = with_limit(sysctl, int(number))
    assert find(low.check, checks(there, make_wanted())).state == "ok"


def test_the_hosts_of_every_lab_are_added_up() -> None:
    others = (*running("one", 2), *running("two", 4))
    stopped = make_container("compute-9", lab="two", state="exited")
    there = replace(MACHINE, containers=(*others, stopped))
    found = checks(there, make_wanted())
    # Each to the others of its lab: 4 hosts, 3, and 5.
    tunnels = 4 * 3 + 3 * 2 + 5 * 4
    assert find("neighbours_ipv4", found).needed == (
        f"{16 * 12 + tunnels} neighbours for 12 hosts of 3 labs"
    )
    assert find("neighbours_ipv6", found).needed == "192 neighbours for 12 hosts of 3 labs"
    assert find("inotify", found).needed == f"{8 + 3 + len(others) + 40} for {11 + 12} containers"
    # In userspace nobody asks the kernel for the other end.
    found = checks(there, make_wanted(datapath="netdev"))
    assert find("neighbours_ipv4", found).needed.startswith("192 neighbours")


def test_hosts_that_have_joined_are_on_the_networks_of_their_home() -> None:
    joined = make_container("edge-1", lab="edge", role="compute", home="fakevm")
    found = checks(replace(MACHINE, containers=(joined,)), make_wanted())
    assert find("neighbours_ipv4", found).needed == f"{16 * 5 + 5 * 4} neighbours for 5 hosts"
    assert find("bridge_ports", found).needed.startswith("12 containers")


def test_fifty_hosts_are_too_many_neighbours_for_the_usual_limit() -> None:
    found = {one.check: one.state for one in checks(MACHINE, make_wanted(50))}
    assert found["neighbours_ipv4"] == "warning"
    assert found["memory"] == "failed"


def test_what_runs_already_needs_nothing_more() -> None:
    names = ("neutron-api", "network-1", "compute-1", "compute-2")
    there = replace(with_kernel(memory_mb=500), containers=tuple(map(make_container, names)))
    assert find("memory", checks(there, make_wanted(2))).state == "ok"
    needed = find("memory", checks(there, make_wanted(3))).needed
    assert needed == "0.3 GB for 1 more host, without VMs"
    assert find("disk", checks(there, make_wanted(3))).needed == "0.0 GB"


def test_what_nobody_knows_is_left_out() -> None:
    found = checks(replace(MACHINE, kernel=Kernel(), disk_mb=None), make_wanted(images=None))
    names = [one.check for one in found]
    assert names == [
        *("docker_engine", "docker_compose", "engine_is_here", "cgroups", "subnets"),
        "bridge_ports",
    ]
    # Nor is that of this machine the engine's, if it has another one.
    away = checks(with_engine(endpoint="tcp://192.0.2.1:2375"), make_wanted())
    assert not {"disk", "memory", "tun", "pid_max"} & {one.check for one in away}


def test_without_an_engine_the_machine_is_looked_at_all_the_same() -> None:
    error = UnavailableError("the Docker engine\ndoes not answer", hint="start docker")
    there = replace(with_kernel(has_tun=False), engine=error)
    found = checks(there, make_wanted(images=None))
    assert [one.check for one in found if one.state == "failed"] == ["docker_engine", "tun"]
    assert find("docker_engine", found).found == "the Docker engine does not answer"
    with pytest.raises(ConflictError, match=r"docker engine: .*; tun: no /dev/net/tun") as caught:
        refuse(found)
    assert caught.value.hint == "start docker; sudo modprobe tun"
    refuse([one for one in found if one.state != "failed"])


# The reader.

FILES = {
    "proc/sys/kernel/osrelease": "6.1\n",
    "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable:    1000000 kB\nSwapFree: 2000000 kB\n",
    "proc/net/if_inet6": "",
    "dev/net/tun": "",
    "lib/modules/6.1/modules.dep": "kernel/net/openvswitch/openvswitch.ko.zst: kernel/x.ko\n",
    "lib/modules/6.1/modules.builtin": "kernel/net/netfilter/nf_tables.ko\n",
    "sys/fs/cgroup/system.slice/pids.max": "max\n",
    "sys/fs/cgroup/docker/pids.max": "4000\n",
    **{f"proc/sys/{name}": f"{number}\n" for name, number in ORDINARY.items()},
}


def make_root(folder: Path, *, without: Sequence[str] = ()) -> Path:
    for name, text in FILES.items():
        if name not in without:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_kernel_is_read_from_its_files(tmp_path: Path) -> None:
    assert set(ORDINARY) == set(LIMITS)
    assert machine.kernel(make_root(tmp_path)) == Kernel(
        release="6.1",
        memory_mb=1024,
        swap_mb=2048,
        has_tun=True,
        has_ipv6=True,
        has_openvswitch=False,
        may_have_openvswitch=True,
        has_iptables=True,
        limits=ORDINARY,
        pids=4000,
    )


def test_a_file_that_is_missing_is_nothing_known(tmp_path: Path) -> None:
    missing = (
        *("proc/meminfo", "proc/net/if_inet6", "dev/net/tun", f"proc/sys/{INOTIFY}"),
        *("lib/modules/6.1/modules.builtin", "sys/fs/cgroup/docker/pids.max"),
    )
    found = machine.kernel(make_root(tmp_path, without=missing))
    assert (found.memory_mb, found.pids, INOTIFY in found.limits) == (None, None, False)
    assert (found.has_tun, found.has_ipv6, found.has_iptables) == (False, False, False)
    # As on a machine that is no Linux.
    assert machine.kernel(tmp_path / "nowhere") == Kernel()


def test_a_folder_that_is_not_there_has_the_room_of_the_one_above(tmp_path: Path) -> None:
    free = machine.free_mb(tmp_path)
    assert free
    below = machine.free_mb(tmp_path / "var" / "lib" / "docker")
    assert below
    assert abs(free - below) < 1000


# The engine.


class Described(FakeEngine):
    """Says what it is, and has networks."""

    def __init__(self, *containers: Container, about: About | UnavailableError = ABOUT) -> None:
        super().__init__(*containers)
        self.description = about
        self.all_networks: list[Network] = []

    def about(self) -> About:
        if isinstance(self.description, UnavailableError):
            raise self.description
        return self.description

    def networks(self) -> list[Network]:
        return self.all_networks


@pytest.mark.parametrize(
    ("options", "other"), [(["name=seccomp"], False), (["name=seccomp", "name=rootless"], True)]
)
def test_an_engine_says_what_it_is(
    monkeypatch: pytest.MonkeyPatch, options: list[str], other: bool
) -> None:
    class Client:
        def info(self) -> dict[str, object]:
            return {
                "ServerVersion": "20.10.24",
                "DockerRootDir": "/data",
                "KernelVersion": "6.1",
                "MemoryLimit": True,
                "PidsLimit": False,
                "SecurityOptions": options,
            }

        def version(self) -> dict[str, object]:
            return {"ApiVersion": "1.41"}

    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    assert Engine(cast("docker.APIClient", Client())).about() == About(
        endpoint="tcp://127.0.0.1:2375",
        version="20.10.24",
        api="1.41",
        root="/data",
        kernel="6.1",
        cgroups="1",
        has_memory=True,
        has_pids=False,
        has_other_root=other,
    )


@pytest.fixture
def compose_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have a docker program with the Compose that labs need, and their images' names."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    names = " ".join(map(shlex.quote, ("fakevm/host:28.0.2", "fakevm/mariadb:28.0.2")))
    program.write_text(
        f'#!/bin/sh\ncat >/dev/null\ncase "$*" in\n*version*) echo 2.26.1 ;;\n'
        f'*--images*) printf "%s\\n" {names} ;;\n*) exit 1 ;;\nesac\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


@pytest.mark.usefixtures("compose_there")
def test_a_lab_is_examined_as_it_is_wished(tmp_path: Path) -> None:
    engine = Described()
    engine.images["fakevm/host:28.0.2"] = images.source("host", "28.0.2")
    root = make_root(tmp_path / "root")
    found = examine("fakevm", Wishes(computes=2, backend="ovn"), engine=engine, root=root)
    assert find("docker_compose", found).found == "2.26.1"
    assert find("images", found).found == "fakevm/mariadb:28.0.2 is missing"
    assert find("memory", found).needed == "1.3 GB for 2 more hosts, without VMs"
    assert find("memory", found).state == "warning"
    assert find("pids_limit", found).found == "at most 4000"


@pytest.mark.usefixtures("compose_there")
def test_a_lab_that_is_there_is_examined_as_it_is(tmp_path: Path) -> None:
    names = ("neutron-api", "network-1", *(f"compute-{n}" for n in range(1, 6)))
    engine = Described(*map(make_container, names), make_container("compute-1", lab="other"))
    found = examine("fakevm", Wishes(), engine=engine, root=make_root(tmp_path / "root"))
    assert find("memory", found).needed == "0.0 GB for 0 more hosts, without VMs"
    assert find("neighbours_ipv6", found).needed == "112 neighbours for 7 hosts of 2 labs"


@pytest.mark.usefixtures("compose_there")
def test_subnets_that_another_network_has_are_one_check_of_many(tmp_path: Path) -> None:
    engine = Described()
    subnets = ("198.18.0.0/16",)
    engine.all_networks = [
        Network(id="1", name="vpn", lab="", project="", role="", subnets=subnets)
    ]
    found = examine("fakevm", Wishes(), engine=engine, root=make_root(tmp_path))
    assert find("subnets", found).state == "failed"
    assert "vpn (198.18.0.0/16)" in find("subnets", found).found
    assert find("tun", found).state == "ok"


@pytest.mark.usefixtures("compose_there")
def test_an_engine_that_does_not_answer_is_a_check_that_failed(tmp_path: Path) -> None:
    engine = Described(about=UnavailableError("no engine", hint="start it"))
    found = examine("fakevm", Wishes(), engine=engine, root=make_root(tmp_path))
    assert [one.check for one in found if one.state == "failed"] == ["docker_engine"]
    assert find("memory", found).state == "warning"


@pytest.mark.usefixtures("compose_there")
def test_up_tells_what_may_lack_and_refuses_what_does(tmp_path: Path) -> None:
    engine, said = Described(), list[str]()
    engine.images["fakevm/host:28.0.2"] = ""
    wanted = wanted_of("fakevm", Wishes(computes=2), Existing(), ())
    root = make_root(tmp_path / "root")
    require(wanted, engine=engine, say=said.append, root=root)
    assert [text.partition(";")[0] for text in said] == ["warning: memory: 1.0 GB available"]
    (root / "dev/net/tun").unlink()
    with pytest.raises(ConflictError, match="no /dev/net/tun"):
        require(wanted, engine=engine, say=said.append, root=root)


# The command.


class FakeSession(Session):
    """Has found this."""

    def __init__(self, *found: Check) -> None:
        self.found = list(found)
        self.asked: list[tuple[str, Wishes]] = []

    def doctor(self, wishes: Wishes) -> list[Check]:
        self.asked.append((self.lab_name, wishes))
        return self.found


WELL = Check(check="tun", state="ok", found="/dev/net/tun", needed="it")
SCARCE = Check(check="memory", state="warning", found="1 GB", needed="2 GB", mend="fewer")
BROKEN = Check(check="disk", state="failed", found="1 GB", needed="2 GB", mend="docker prune")


@pytest.mark.parametrize(
    ("found", "code"), [((WELL,), 0), ((WELL, SCARCE), 0), ((WELL, SCARCE, BROKEN), 3)]
)
@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_the_exit_code_says_whether_a_lab_would_work(
    found: tuple[Check, ...], code: int, form: str
) -> None:
    result = CliRunner().invoke(cli, ("doctor", "-f", form), obj=FakeSession(*found))
    assert result.exit_code == code


def test_a_check_has_its_mark_in_a_table_and_its_state_in_json() -> None:
    session = FakeSession(WELL, SCARCE, BROKEN)
    lines = CliRunner().invoke(cli, ("doctor",), obj=session).stdout.splitlines()
    assert [line[0] for line in lines[1:]] == ["✓", "!", "✗"]
    made = json.loads(CliRunner().invoke(cli, ("doctor", "-f", "json"), obj=session).stdout)
    assert made[2] == {
        "check": "disk",
        "state": "failed",
        "found": "1 GB",
        "needed": "2 GB",
        "mend": "docker prune",
    }


def test_the_lab_and_its_size_are_chosen_as_for_up() -> None:
    session = FakeSession(WELL)
    argv = ("doctor", "--name", "ci", "--computes", "9", "--backend", "ovn")
    assert CliRunner().invoke(cli, argv, obj=session).exit_code == 0
    assert session.asked == [("ci", Wishes(computes=9, backend="ovn"))]
