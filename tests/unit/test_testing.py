"""The pytest plug-in, as far as it needs no lab."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fakevm.errors import ConfigError, ConflictError
from fakevm.library.lab import Lab
from fakevm.neutron.made import Made, made
from fakevm.testing import needs, removal
from fakevm.testing.cloud import Cloud, prefix
from fakevm.testing.journal import NEW, Journal, Noted, folder, names
from fakevm.testing.labs import Labs, Noting, known_by
from fakevm.testing.options import Options
from fakevm.testing.owned import FUNCTION, Things
from fakevm.testing.run import Run, reserved
from fakevm.testing.session import file_name
from tests.fakes.cloud import FakeCloud
from tests.fakes.engine import make_container
from tests.unit.conftest import World


@pytest.fixture
def lab(world: World, cloud: FakeCloud) -> Iterator[Lab]:
    with Lab(engine=world.engine, neutron=cloud, open_stream=world.stream, agent_s=5) as lab:
        yield lab


# What a test needs


@pytest.mark.parametrize(
    ("words", "options", "expected"),
    [
        ({}, {}, ("ovs",)),
        ({}, {"backends": ("ovn",)}, ("ovn",)),
        ({}, {"backends": ("ovs", "ovn")}, ("ovs", "ovn")),
        ({"backend": "ovn"}, {}, ("ovn",)),
        ({"backend": ["ovs", "ovn"]}, {}, ("ovs", "ovn")),
        ({"backend": "ovn"}, {"backends": ("ovs", "ovn")}, ("ovn",)),
        ({"backend": "ovn"}, {"backends": ("ovs",)}, ()),
    ],
)
def test_a_test_runs_on_the_backends_that_it_and_the_options_allow(
    words: Mapping[str, Any], options: Mapping[str, Any], expected: tuple[str, ...]
) -> None:
    assert needs.backends(needs.of([words]), Options(**options)) == expected


@pytest.mark.parametrize(
    ("words", "options", "reason"),
    [
        ({"backend": "ovn"}, {"backends": ("ovs",)}, "needs a lab of ovn; --fakevm-backend is ovs"),
        ({"backend": "ovn"}, {}, "needs a lab of ovn; this is one of ovs"),
        ({"hosts": 3}, {"hosts": 2}, "needs 3 hosts; --fakevm-hosts is 2"),
        ({"hosts": 3}, {}, ""),
        ({"neutron": ">=28"}, {}, ""),
        # Of a lab that is there, or as its project wants it, the release is not known yet.
        ({"neutron": ">=29"}, {}, ""),
        (
            {"neutron": ">=28"},
            {"neutron": "27.0.4"},
            "needs Neutron >=28; --fakevm-neutron is 27.0.4",
        ),
    ],
)
def test_only_what_the_options_make_impossible_is_skipped(
    words: Mapping[str, Any], options: Mapping[str, Any], reason: str
) -> None:
    assert needs.refusal(needs.of([words]), Options(**options), backend="ovs") == reason


@pytest.mark.parametrize(
    ("asked", "has", "reason"),
    [
        (">=28", "28.0.2", ""),
        (">=29", "29.0.0", ""),
        ("", "26.0.6", ""),
        (">=29", "28.0.2", "needs Neutron >=29; the lab has 28.0.2"),
        # What no tag of Python's package index is called.
        (">=29", "mine", "needs Neutron >=29; the lab has mine"),
    ],
)
def test_the_lab_s_own_release_counts(asked: str, has: str, reason: str) -> None:
    assert needs.outdated(needs.of([{"neutron": asked}]), has) == reason


def test_the_nearest_marker_wins() -> None:
    found = needs.of([{"hosts": 3}, {"hosts": 5, "backend": "ovn"}])
    assert (found.hosts, found.backends) == (3, ("ovn",))


@pytest.mark.parametrize(
    "words", [{"host": 3}, {"hosts": 0}, {"hosts": "3"}, {"backend": "ovx"}, {"neutron": "new"}]
)
def test_what_is_no_need_is_refused(words: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigError):
        needs.of([words])


# Which lab


def test_a_lab_s_name_tells_its_worker_its_backend_and_its_words() -> None:
    run = Run(id="1", lab="pytest")
    assert run.name("ovs", {}) == "pytest"
    assert run.name("ovn", {}) == "pytest-ovn"
    worker = Run(id="1", lab="pytest", worker="gw1")
    assert worker.name("ovn", {}) == "pytest-gw1-ovn"
    assert Run(id="1", lab="pytest", worker="gw1", shared=True).name("ovs", {}) == "pytest"
    other = run.name("ovs", {"service_plugins": ["router", "log"]})
    assert re.fullmatch("pytest-[0-9a-f]{4}", other)
    assert other == run.name("ovs", {"service_plugins": ["router", "log"]})


def test_two_runs_at_once_have_labs_of_their_own() -> None:
    with reserved("mine") as first, reserved("mine") as second, reserved("mine") as third:
        assert (first, second, third) == ("mine", "mine-2", "mine-3")
    with reserved("mine") as again:
        assert again == "mine"


def labs_of(run: str) -> Labs:
    said = list[str]()
    own = Run(id=run, lab="pytest")
    return Labs(own, Options(), computes=2, say=said.append, tell=said.append)


def test_hosts_that_another_worker_has_begun_stay(lab: Lab, world: World) -> None:
    assert len(lab.computes) == 3
    world.engine.all_containers += [make_container(f"compute-{number}") for number in (4, 5)]
    # Fewer than there are now: nothing is begun, for which an engine is needed, or taken away.
    labs_of("1").grow(lab, 4)
    assert len(lab.computes) == 5


# What was made


def test_what_an_answer_says_was_made() -> None:
    url = "http://127.0.0.1:9696/v2.0"
    (one,) = made(f"{url}/networks", {"network": {"id": "n", "name": "blue"}})
    assert one == Made(collection="/networks", id="n", name="blue")
    ports = [{"id": "a", "device_id": "vm", "device_owner": "compute:nova"}, {"id": "b"}]
    assert [port.path for port in made(f"{url}/ports", {"ports": ports})] == [
        "/ports/a",
        "/ports/b",
    ]
    assert list(made(f"{url}/ports/a/bindings", {"binding": {"host": "compute-1"}})) == []
    (rule,) = made(f"{url}/qos/policies/p/dscp_marking_rules", {"dscp_marking_rule": {"id": "r"}})
    assert rule.path == "/qos/policies/p/dscp_marking_rules/r"


def test_a_journal_is_read_again_also_half_of_it(tmp_path: Path) -> None:
    journal = Journal("mine", tmp_path / "state")
    assert journal.read() == Noted()
    noted = Noted(run="1", made="net", things=(Made(collection="/networks", id="a"),))
    journal.begin(noted)
    journal.note(Made(collection="/routers", id="b", name="edge"))
    with (tmp_path / "state" / "mine.jsonl").open("a") as file:
        file.write('{"collection": "/por')
    assert [one.id for one in journal.read().things] == ["a", "b"]
    assert names(tmp_path / "state") == ["mine"]
    journal.end()
    assert journal.read() == Noted()


@pytest.mark.parametrize(
    ("noted", "networks", "expected"),
    [
        ("", None, NEW),
        (NEW, None, NEW),
        ("net", None, NEW),
        ("net", ["mgmt", "net"], "net"),
        ("net", ["mgmt", "other"], ""),
        ("", ["net"], ""),
        # The run was killed before it had made any.
        (NEW, ["net"], ""),
    ],
)
def test_a_lab_is_a_run_s_if_one_of_its_networks_is_noted(
    noted: str, networks: list[str] | None, expected: str
) -> None:
    assert known_by(Noted(run="1", made=noted), networks) == expected


def test_a_lab_is_noted_while_it_begins(tmp_path: Path) -> None:
    journal = Journal("mine", tmp_path)
    thing = Made(collection="/networks", id="a")
    begun = Noted(run="1", made=NEW, things=(thing,))
    journal.begin(begun)
    there, said = list[str](), list[str]()
    noting = Noting(journal, begun, lambda: there, said.append)
    noting("images")
    assert journal.read() == begun
    there += ["net", "other"]
    noting("mariadb: healthy")
    assert journal.read() == Noted(run="1", made="net", things=(thing,))
    journal.end()
    noting("neutron-api: healthy")
    assert journal.read() == Noted()
    assert said == ["images", "mariadb: healthy", "neutron-api: healthy"]


def test_journals_are_where_xdg_has_them(tmp_path: Path) -> None:
    assert folder({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "fakevm" / "pytest"


def test_all_is_removed_whatever_holds_what(lab: Lab, cloud: FakeCloud) -> None:
    net = lab.network("blue", subnets=[{"cidr": "10.1.0.0/24", "enable_dhcp": False}])
    router = lab.router("edge", interfaces=[net])
    group = lab.security_group("web", rules=["ingress tcp 80"])
    vm = lab.vm("web", networks=[net], security_groups=[group])
    # The network first: it can go only when all else is gone.
    things = [
        *(Made(collection="/ports", id=port.id) for port in vm.ports),
        Made(collection="/security-groups", id=group.id, name="web"),
        Made(collection="/routers", id=router.id, name="edge"),
        Made(collection="/networks", id=net.id, name="blue"),
    ]
    assert {one.id for one in removal.left_of(lab, things)} == {one.id for one in things}
    removed = [removal.said(one) for one in removal.remove_all(lab, things)]
    assert removed == ["VM web", "router edge", "security group web", "network blue"]
    assert removal.left_of(lab, things) == []
    assert removal.remove_all(lab, things) == []


def test_what_others_hold_is_told(lab: Lab) -> None:
    net = lab.network("blue", subnets=[{"cidr": "10.1.0.0/24", "enable_dhcp": False}])
    lab.vm("web", networks=[net])
    with pytest.raises(ConflictError):
        removal.remove_all(lab, [Made(collection="/networks", id=net.id, name="blue")])


def test_what_cannot_be_removed_is_told_once(lab: Lab) -> None:
    net = lab.network("blue", subnets=[{"cidr": "10.1.0.0/24", "enable_dhcp": False}])
    lab.vm("web", networks=[net])
    things = Things()
    things.hear(lab.name, Made(collection="/networks", id=net.id, name="blue"))
    with things.made_by("module"):
        things.hear(lab.name, Made(collection="/routers", id=lab.router("edge").id, name="edge"))
    with pytest.raises(ConflictError):
        things.sweep([lab], [FUNCTION])
    assert things.sweep([lab], [FUNCTION]) == []
    assert [one.name for one in things.sweep([lab])] == ["edge"]


@pytest.mark.parametrize(
    ("test", "worker", "expected"),
    [
        ("test_port_80_is_open", "", "port-80-is-open"),
        ("test_web[ovn-10.1.0.0/24]", "gw1", "web-ovn-10-1-0-0-24-gw1"),
        ("test_" + "x" * 40, "", "x" * 40),
        ("test_" + "x" * 36, "gw1", "x" * 36 + "-gw1"),
        ("Ω", "", "test"),
        ("Ω", "gw1", "test-gw1"),
    ],
)
def test_names_tell_the_test(test: str, worker: str, expected: str) -> None:
    assert prefix(test, worker) == expected


def test_long_names_tell_their_parameters_and_workers_apart() -> None:
    tests = [f"test_a_vm_that_moves_keeps_its_floating_ip[{each}]" for each in ("vlan", "vxlan")]
    found = [prefix(test, worker) for test in tests for worker in ("", "gw0", "gw11")]
    assert len(set(found)) == len(found)
    assert max(map(len, found)) == 40
    assert re.fullmatch(r"a-vm-that-moves-keeps-its-floa-[0-9a-f]{4}-gw11", found[2]), found[2]
    assert prefix(tests[0], "gw0") == found[1]


def test_a_cloud_s_names_begin_with_its_test_s(lab: Lab) -> None:
    with Cloud(lab, "test_web") as cloud:
        net = cloud.network("blue", subnets=[{"cidr": "10.1.0.0/24", "enable_dhcp": False}])
        assert net.name == "web-blue"
        one, other = cloud.vms("a", "b", networks=[net])
        assert {one.name, other.name} == {"web-a", "web-b"}
        assert one.host != other.host
        assert cloud.has(Made(collection="/ports", id="p", name="web-a-web-blue"))
        assert not cloud.has(Made(collection="/ports", id="p", name="website-a"))


def test_a_test_s_folder_is_named_after_it() -> None:
    assert file_name("tests/test_a.py::Test::test_b[x/y z]") == "tests-test_a.py-Test-test_b[x-y-z]"


# pytest itself

TESTS = """
import pytest

def test_none(): pass
def test_one(lab): pass
def test_other(cloud): pass
@pytest.mark.fakevm(backend="ovn")
def test_ovn(lab): pass
"""


def run_pytest(
    folder: Path, *argv: str, tests: str = TESTS, **environ: str
) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(tests, encoding="utf-8")
    return subprocess.run(
        (sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", *argv),
        cwd=folder,
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state"), **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_docker_one_test_says_so_in_one_line(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/docker.sock")
    assert re.search(r"1 passed, 2 skipped, 1 error in", done.stdout), done.stdout
    assert len(re.findall("^there is no lab: ", done.stdout, re.M)) == 1, done.stdout
    assert "Traceback" not in done.stdout
    assert "there is no lab, as an earlier error says" in done.stdout


SEVERAL = """
import pytest

@pytest.fixture(scope="session")
def lab_words(backend):
    return {"firewall": "the newest"} if backend == "ovn" else {}

def test_one(lab): pass
def test_other(cloud): pass
"""


def test_a_lab_that_does_not_come_skips_its_own_tests_alone(tmp_path: Path) -> None:
    argv = ("--fakevm-backend", "ovs,ovn")
    done = run_pytest(tmp_path, *argv, tests=SEVERAL, **half_an_engine(tmp_path))
    assert re.search(r"2 skipped, 2 errors in", done.stdout), done.stdout
    first, second = re.findall("^there is no lab: (.*)", done.stdout, re.M)
    assert "docker compose" in first
    assert "firewall: openvswitch, iptables_hybrid, noop is expected" in second


RELEASES = """
import pytest
from types import SimpleNamespace

@pytest.fixture(scope="session")
def lab(_fakevm):
    return SimpleNamespace(name="old", neutron_version="27.0.4")

@pytest.fixture(scope="module")
def network(lab):
    raise RuntimeError("which an old Neutron does not know")

@pytest.mark.fakevm(neutron=">=28")
def test_new(network): pass

@pytest.mark.fakevm(neutron="<28")
def test_old(lab): pass
"""


def test_a_test_of_another_release_than_the_lab_s_is_skipped_before_its_fixtures(
    tmp_path: Path,
) -> None:
    done = run_pytest(tmp_path, tests=RELEASES)
    assert re.search(r"1 passed, 1 skipped in", done.stdout), done.stdout
    assert "needs Neutron >=28; the lab has 27.0.4" in done.stdout


PASSES = """
import pytest

def test_no_lab_comes(request):
    with pytest.raises(pytest.fail.Exception):
        request.getfixturevalue("lab")
"""

# No lab is there, as far as the program tells; whoever asks the engine for more gets no answer.
DOCKER = """#!/bin/sh
[ "$*" = 'system dial-stdio' ] && printf 'HTTP/1.0 200 OK\\r\\n\\r\\n[]'
"""


def half_an_engine(folder: Path) -> Mapping[str, str]:
    """Return the environment in which an engine says that it has nothing, and then no more."""
    program = folder / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(DOCKER, encoding="utf-8")
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return {"PATH": path, "DOCKER_HOST": f"unix://{folder}/docker.sock"}


@pytest.mark.parametrize("argv", [(), ("-n", "1")])
def test_an_end_that_fails_is_told_after_all_tests_and_fails_the_run(
    tmp_path: Path, argv: tuple[str, ...]
) -> None:
    done = run_pytest(tmp_path, *argv, tests=PASSES, **half_an_engine(tmp_path))
    told = re.findall("^fakevm: not all is removed: the Docker engine", done.stdout, re.M)
    assert len(told) == 1, done.stdout
    assert "1 passed" in done.stdout.splitlines()[-1]
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED


# A run holds its lab's name until its end.
INTERRUPTED = """
import pytest
from fakevm.testing.run import reserved

@pytest.fixture
def late(request, pytestconfig):
    with pytest.raises(pytest.fail.Exception):
        request.getfixturevalue("lab")
    yield
    with reserved(pytestconfig.getoption("fakevm_lab")) as name:
        print("free at the fixture's end:", name)
    raise RuntimeError("Neutron does not answer")

def test_interrupted(late):
    raise KeyboardInterrupt
"""


def test_after_ctrl_c_fixtures_end_before_the_lab(tmp_path: Path) -> None:
    lab = f"interrupted-{os.getpid()}"
    argv = ("-s", "--fakevm-lab", lab)
    done = run_pytest(tmp_path, *argv, tests=INTERRUPTED, **half_an_engine(tmp_path))
    assert f"free at the fixture's end: {lab}-2" in done.stdout, done.stdout
    assert "RuntimeError: Neutron does not answer" in done.stdout + done.stderr
    # And the lab ends, also where a fixture can't.
    assert "fakevm: not all is removed: the Docker engine" in done.stdout + done.stderr


def test_options_and_markers_choose_tests(tmp_path: Path) -> None:
    listed = run_pytest(tmp_path, "--collect-only", "-q", "--fakevm", "--fakevm-backend", "ovs,ovn")
    names = [line.partition("::")[2] for line in listed.stdout.splitlines() if "::" in line]
    assert names == [
        *("test_one[ovs]", "test_other[ovs]"),
        *("test_one[ovn]", "test_other[ovn]", "test_ovn[ovn]"),
    ]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--fakevm-backend", "ovx"), "there is no backend 'ovx'"),
        (("--fakevm-hosts", "0"), "--fakevm-hosts 0: at least 1 is expected"),
        (("--fakevm-neutron-src", "nowhere"), "there is no such folder"),
        (("--fakevm-lab", "Mine!"), "'Mine!' is no lab's name"),
    ],
)
def test_wrong_options_are_told_at_once(tmp_path: Path, argv: tuple[str, ...], words: str) -> None:
    done = run_pytest(tmp_path, *argv)
    assert done.returncode == 4
    assert words in done.stderr
    assert "Traceback" not in done.stderr
