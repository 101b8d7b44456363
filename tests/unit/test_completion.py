"""A shell's completion: its script, and the words that it is offered."""

from __future__ import annotations

import json
import os
import shlex
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import BashComplete, get_completion_class

from fakevm import shortcut
from fakevm.cli import complete
from fakevm.cli.root import COMMANDS, cli
from fakevm.clients import engine_socket
from fakevm.scenarios.known import SCENARIOS
from fakevm.scenarios.names import NAMES
from fakevm.shortcut.locate import locate
from tests.fakes.events import LocalNovaEvents
from tests.fakes.neutron_api import NeutronApi

SHELLS = ("bash", "zsh", "fish")

RED = "aaaaaaaa-0000-4000-8000-000000000001"
BLUE = "aaaaaaaa-0000-4000-8000-000000000002"
TWIN = "bbbbbbbb-0000-4000-8000-000000000003"
OTHER_TWIN = "bbbbbbbb-0000-4000-8000-000000000004"
DHCP = "cccccccc-0000-4000-8000-000000000005"
VM = "dddddddd-0000-4000-8000-000000000006"
NAMELESS_VM = "dddddddd-0000-4000-8000-000000000007"


class ListingApi(NeutronApi):
    """Neutron's lists of whole ports and networks, which are as they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, list[dict[str, Any]]] = {"ports": [], "networks": []}

    def answer(self, target: str) -> tuple[int, bytes]:
        path, _, query = target.partition("?")
        assert all(pair.startswith("fields=") for pair in query.split("&"))
        fields = [pair.removeprefix("fields=") for pair in query.split("&")]
        what = path.removeprefix("/v2.0/")
        if self.status != 200 or self.body is not None:
            return self.status, (self.body or "").encode()
        found = [{name: one.get(name) for name in fields} for one in self.lists[what]]
        return 200, json.dumps({what: found}).encode()


@dataclass
class Docker:
    """A docker program in PATH: it is a way to the engine, and `exec` joins a service's socket."""

    folder: Path
    containers: list[dict[str, Any]] = field(default_factory=list)
    # Where nova-events of a container listens.
    sockets: dict[str, Path] = field(default_factory=dict)

    def add(self, lab: str, role: str, service: str, *, api_port: int = 0, home: str = "") -> None:
        """Let there be a container, as the engine's API has it."""
        told = {"fakevm.lab": lab, "fakevm.home": home, "fakevm.role": role}
        labels = {name: value for name, value in told.items() if value}
        published = {"IP": "127.0.0.1", "PrivatePort": 9696, "PublicPort": api_port, "Type": "tcp"}
        self.containers.append(
            {
                "Labels": labels | {"com.docker.compose.service": service},
                "State": "running",
                "Ports": [*([published] if api_port else []), {"PrivatePort": 80, "Type": "tcp"}],
            }
        )

    def write(self, program: str = "") -> None:
        listed = "HTTP/1.0 200 OK\r\n\r\n" + json.dumps(self.containers)
        joined = "".join(
            f"*' {container} socat '*) exec {sys.executable} {self.folder}/join {path} ;;\n"
            for container, path in self.sockets.items()
        )
        (self.folder / "join").write_text(_JOIN, encoding="utf-8")
        text = program or (
            f'case "$*" in\n"system dial-stdio") printf %s {shlex.quote(listed)} ;;\n{joined}'
            "*) echo no such container >&2; exit 1 ;;\nesac\n"
        )
        file = self.folder / "docker"
        file.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
        file.chmod(0o755)


# What socat does.
_JOIN = """
import os, socket, sys, threading
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
def back():
    while data := s.recv(65536):
        os.write(1, data)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    s.sendall(data)
"""


def port(port_id: str, name: str = "", *, vm: str = "", host: str = "", **more: Any) -> Any:
    owner = {"device_owner": "compute:nova" if vm else ""}
    return {"id": port_id, "name": name, "device_id": vm, "binding:host_id": host, **owner, **more}


class EngineSocket:
    """An engine's socket: it lists the containers of a docker program."""

    def __init__(self, docker: Docker) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.path = docker.folder / "engine.sock"
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine.asked.append(self.path)
                self.send_response(engine.status)
                self.end_headers()
                self.wfile.write(json.dumps(docker.containers).encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_UNIX

            def server_bind(self) -> None:
                socketserver.TCPServer.server_bind(self)

            def get_request(self) -> tuple[Any, Any]:
                return self.socket.accept()[0], ("", 0)

        self.server = Server(str(self.path), Handler)  # type: ignore[arg-type]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def engine(
    neutron: ListingApi, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EngineSocket]:
    engine = EngineSocket(docker)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.path}")
    docker.write("echo nobody needs it >&2; exit 1\n")
    yield engine
    engine.server.shutdown()
    engine.server.server_close()


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Docker:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return Docker(tmp_path)


@pytest.fixture
def neutron(docker: Docker) -> Iterator[ListingApi]:
    """A lab's Neutron; the lab stands beside another one."""
    with ListingApi() as api:
        api.lists["ports"] = [
            port(RED, "red", vm=VM, host="compute-1"),
            port(BLUE, "blue", vm=NAMELESS_VM),
            port(TWIN, "twin", vm=VM, host="compute-2"),
            port(OTHER_TWIN, "twin"),
            port(DHCP, "dhcp", device_owner="network:dhcp"),
        ]
        api.lists["networks"] = [{"id": "n1", "name": "net"}, {"id": "n2", "name": "other net"}]
        api_port = int(api.url.rpartition(":")[2])
        docker.add("fakevm", "neutron-api", "neutron-api", api_port=api_port)
        for number in (10, 2, 1):
            docker.add("fakevm", "compute", f"compute-{number}")
        for role, service in (("network", "network-1"), ("mariadb", "mariadb")):
            docker.add("fakevm", role, service)
        docker.add("blue", "compute", "compute-7")
        docker.add("joined", "compute", "joined-1", home="fakevm")
        docker.write()
        yield api


@pytest.fixture
def events(
    docker: Docker, neutron: ListingApi, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalNovaEvents]:
    """nova-events of that lab."""
    # On a machine that is as busy as a test's.
    monkeypatch.setattr(shortcut.offers, "ANSWER_S", 30.0)
    with closing(LocalNovaEvents()) as events:
        docker.sockets["fakevm-nova-events-1"] = events.path
        docker.write()
        yield events


def offered(*line: str, shell: str = "bash") -> list[str]:
    """Return the words that are offered for the last one of a line."""
    return [word for word, _about in told(*line, shell=shell)]


def told(*line: str, shell: str = "bash") -> list[tuple[str, str | None]]:
    """Return the words that are offered for the last one of a line, with their help."""
    made = get_completion_class(shell)
    assert made is not None
    shell_complete = made(cli, {"auto_envvar_prefix": "FAKEVM"}, "fakevm", "_FAKEVM_COMPLETE")
    *args, begun = line
    return [(item.value, item.help) for item in shell_complete.get_completions(args, begun)]


def typed(
    line: str, word: int, *, shell: str = "bash", **env: str
) -> subprocess.CompletedProcess[str]:
    """Ask as a shell's script does."""
    asked = {"_FAKEVM_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": str(word)}
    return subprocess.run(
        (sys.executable, "-m", "fakevm"),
        env={**os.environ, **asked, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_asks_fakevm(shell: str) -> None:
    done = subprocess.run(
        (sys.executable, "-m", "fakevm", "completion", shell),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert f"_FAKEVM_COMPLETE={shell}_complete" in done.stdout
    assert done.stderr == ""
    if shell == "bash":
        subprocess.run(("bash", "-n"), input=done.stdout, text=True, check=True)


def test_bash_offers_what_fakevm_says(neutron: ListingApi) -> None:
    program = shlex.join((sys.executable, "-m", "fakevm"))
    # `env` starts programs alone: fakevm is one.
    binary = Path(os.environ["PATH"].split(os.pathsep)[0]) / "fakevm"
    binary.write_text(f'#!/bin/sh\nexec {program} "$@"\n', encoding="utf-8")
    binary.chmod(0o755)
    script = (
        "source <(fakevm completion bash)\n"
        "COMP_WORDS=(fakevm create-port o) COMP_CWORD=2\n"
        '_fakevm_completion fakevm\nprintf "%s|" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(("bash", "-c", script), capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("'other net'|", "")


def test_commands_are_offered_by_name_without_their_import() -> None:
    assert offered("") == [name for names in COMMANDS.values() for name in names]
    assert offered("un") == ["unplug", "unplug-all-host", "unpause", "unshelve"]
    assert offered("config", "") == ["show"]
    assert "--lab" in offered("--")
    code = (
        "import sys; from fakevm.cli.root import cli; from click.shell_completion import *;"
        "BashComplete(cli, {}, 'fakevm', '').get_completions([], '');"
        "print(*(name for name in sys.modules if name.startswith('fakevm.cli.')))"
    )
    argv = (sys.executable, "-c", code)
    loaded = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
    assert set(loaded.split()) == {"fakevm.cli.root", "fakevm.cli.complete"}


def test_labs_are_offered_that_are_there(neutron: ListingApi) -> None:
    assert offered("--lab", "") == ["blue", "fakevm", "joined"]
    assert offered("list", "--lab", "b") == ["blue"]
    assert offered("down", "--name", "") == ["blue", "fakevm", "joined"]


def test_an_engine_s_socket_is_asked_where_there_is_one(engine: EngineSocket) -> None:
    assert offered("--lab", "") == ["blue", "fakevm", "joined"]
    assert offered("plug", "--host", "") == ["compute-1", "compute-2", "compute-10"]
    assert offered("show", "r") == ["red"]
    assert "joined-1" in offered("--lab", "joined", "plug", "--host", "")
    assert len(engine.asked) == 4
    # It knows another API, or is none: the program may know better, and here does not.
    engine.status = 404
    assert offered("--lab", "") == []


@pytest.mark.parametrize(
    ("variables", "config", "path"),
    [
        ({"DOCKER_HOST": "unix:///run/it.sock", "DOCKER_CONTEXT": "far"}, "", "/run/it.sock"),
        ({"DOCKER_HOST": "ssh://far"}, "", ""),
        ({}, "", "/var/run/docker.sock"),
        ({}, '{"auths": {}}', "/var/run/docker.sock"),
        ({}, '{"currentContext": "default"}', "/var/run/docker.sock"),
        ({}, '{"currentContext": "far"}', ""),
        ({"DOCKER_CONTEXT": "default"}, '{"currentContext": "far"}', "/var/run/docker.sock"),
        ({"DOCKER_CONTEXT": "far"}, "", ""),
        ({}, "nonsense", ""),
        ({}, "[]", ""),
    ],
)
def test_the_socket_is_the_one_that_the_docker_program_would_use(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    config: str,
    path: str,
) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if config:
        (tmp_path / "config.json").write_text(config, encoding="utf-8")
    assert engine_socket.path() == path


def test_hosts_are_offered_of_the_lab(neutron: ListingApi) -> None:
    hosts = ["compute-1", "compute-2", "compute-10"]
    for line in (
        ("plug", "--host"),
        ("exec", "--host"),
        ("unshelve", "--host"),
        ("create-port", "--reschedule"),
        ("migrate", "--host"),
        ("migrate",),
    ):
        assert offered(*line, "") == hosts
    assert offered("plug", "--host", "compute-1") == ["compute-1", "compute-10"]
    assert offered("ovn", "--host", "") == [*hosts, "network-1"]


def test_the_lab_is_asked_that_the_line_names(
    neutron: ListingApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered("--lab", "blue", "plug", "--host", "") == ["compute-7"]
    assert offered("plug", "--lab", "blue", "--host", "") == ["compute-7"]
    assert offered("config", "--lab", "blue", "show", "") == ["compute-7"]
    assert offered("--lab", "nonesuch", "plug", "--host", "") == []
    assert offered("--lab", "blue", "plug", "") == []
    # One that has joined another has its Neutron.
    assert "joined-1" in offered("--lab", "joined", "plug", "--host", "")
    assert "red" in offered("--lab", "joined", "plug", "")
    monkeypatch.setenv("FAKEVM_LAB", "blue")
    assert offered("plug", "--host", "") == ["compute-7"]
    monkeypatch.setenv("FAKEVM_PLUG_LAB", "nonesuch")
    assert offered("plug", "--host", "") == []


@pytest.mark.parametrize(
    "line",
    [
        *(("show",), ("exec",), ("shell",), ("delete-port",), ("migrate", "compute-1")),
        *(("attach", "vm"), ("events", "--vif")),
    ],
)
def test_ports_are_offered_by_name_and_by_uuid_once_that_is_begun(
    neutron: ListingApi, line: tuple[str, ...]
) -> None:
    # Two have one name; a DHCP agent's is nobody's business.
    assert told(*line, "") == [
        ("red", "on compute-1"),
        ("blue", "not bound"),
        (TWIN, "twin on compute-2"),
        (OTHER_TWIN, "twin not bound"),
    ]
    assert told(*line, "aaa") == [(RED, "red on compute-1"), (BLUE, "blue not bound")]
    assert offered(*line, "ccc") == []


def test_what_stands_on_the_line_is_not_offered_again(neutron: ListingApi) -> None:
    assert offered("delete-port", "red", "b") == ["blue", TWIN, OTHER_TWIN]
    assert offered("delete-port", "red", "r") == []


def test_a_migration_takes_hosts_and_ports_in_their_places(neutron: ListingApi) -> None:
    assert offered("migrate", "--cold", "--revert", "r") == ["red"]
    assert offered("migrate", "--cold", "--revert", "c") == []
    assert offered("migrate", "--abort", "r") == ["red"]
    assert offered("migrate", "compute-1", "red", "") == []
    both = offered("migrate", "--cold", "--confirm", "")
    assert {"red", "compute-1"} <= set(both)
    assert "dhcp" in offered("migrate", "--probe", "")
    assert "red" in offered("migrate", "--probe", "")


def test_steps_are_offered_of_the_migration_that_is_chosen() -> None:
    assert offered("migrate", "--fail-at", "act") == ["activate", "activate again"]
    assert offered("migrate", "--delay", "pau") == ["pause="]
    assert "look for a binding" in offered("migrate", "--cold", "--fail-at", "")
    assert "look at the bindings" in offered("migrate", "--cold", "--revert", "--fail-at", "")
    assert "look for a binding" not in offered("migrate", "--evacuate", "--fail-at", "")
    # Which there is not.
    assert offered("migrate", "--cold", "--post-copy", "--fail-at", "") == []


def test_networks_are_offered(neutron: ListingApi) -> None:
    assert offered("create-port", "") == ["net", "other net"]
    assert offered("create-port", "n") == ["net", "n1", "n2"]


def test_services_are_offered_that_have_processes_of_neutron_s(neutron: ListingApi) -> None:
    expected = ["compute-1", "compute-2", "compute-10", "network-1", "neutron-api"]
    assert sorted(offered("restart", "")) == sorted(expected)
    assert offered("restart", "network-1", "n") == ["neutron-api"]
    assert sorted(offered("config", "show", "")) == sorted(expected)


def test_scenarios_and_programs_are_offered() -> None:
    assert tuple(scenario.name for scenario in SCENARIOS) == NAMES
    assert offered("scenario", "run", "late") == ["late-tap"]
    assert offered("ovn", "") == ["nbctl", "sbctl", "trace", "appctl"]


@pytest.mark.parametrize(
    "line", [("reboot",), ("shelve",), ("delete-vm",), ("attach",), ("create-port", "net")]
)
def test_vms_are_offered_by_the_names_that_nova_has(
    events: LocalNovaEvents, line: tuple[str, ...]
) -> None:
    register(events, VM, "web 1")
    assert offered(*line, "") == ["web 1", NAMELESS_VM]
    assert offered(*line, "dd") == [VM, NAMELESS_VM]
    # Those of the lab that it has joined.
    assert offered("--lab", "joined", *line, "we") == ["web 1"]


def test_vms_are_offered_by_their_ids_if_nobody_knows_their_names(neutron: ListingApi) -> None:
    assert offered("reboot", "") == [VM, NAMELESS_VM]


def register(events: LocalNovaEvents, instance_id: str, name: str) -> None:
    params = {"instance_id": instance_id, "name": name}
    with closing(events.stream()) as stream:
        stream.write(
            json.dumps({"jsonrpc": "2.0", "id": 1, "method": "register", "params": params}).encode()
            + b"\n"
        )
        assert b"result" in stream.read()


@pytest.mark.parametrize("line", [("show",), ("create-port",), ("reboot",)])
def test_a_neutron_that_says_no_has_nothing_to_offer(
    neutron: ListingApi, line: tuple[str, ...]
) -> None:
    neutron.status = 401
    assert offered(*line, "") == []
    neutron.status, neutron.body = 200, "<html>"
    assert offered(*line, "") == []


@pytest.mark.parametrize(
    "program",
    [
        "echo Cannot connect to the Docker daemon >&2; exit 1\n",
        "exec sleep 60\n",
        "echo nonsense\n",
    ],
)
@pytest.mark.parametrize("words", ["show", "reboot", "plug --host", "--lab"])
def test_without_an_engine_nothing_is_offered_and_nothing_said(
    docker: Docker, program: str, words: str
) -> None:
    docker.write(program)
    start = time.monotonic()
    assert offered(*words.split(), "") == []
    # A second, and what a busy machine takes.
    assert time.monotonic() - start < 5


def test_a_neutron_that_is_silent_is_not_waited_for(neutron: ListingApi) -> None:
    neutron.answering.clear()
    start = time.monotonic()
    assert offered("show", "") == []
    assert time.monotonic() - start < 5


def test_the_program_ends_well_and_silent(neutron: ListingApi, docker: Docker) -> None:
    done = typed("fakevm show r", 2)
    assert (done.returncode, done.stdout, done.stderr) == (0, "plain,red\n", "")
    done = typed("fakevm show r", 2, shell="zsh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "plain\nred\non compute-1\n", "")
    docker.write("echo nothing >&2; exit 1\n")
    # Bytes that are no text, too.
    for variable in ("blue", "\udcff"):
        done = typed("fakevm show r", 2, FAKEVM_LAB=variable)
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_a_word_is_offered_to_bash_as_it_is_to_be_typed(neutron: ListingApi) -> None:
    bash = get_completion_class("bash")
    assert bash is complete.Bash
    assert issubclass(bash, BashComplete)
    assert typed("fakevm create-port o", 2).stdout == "plain,'other net'\n"
    assert typed("fakevm create-port 'ot", 2).stdout == "plain,'other net'\n"


def test_what_a_shell_can_t_carry_is_not_offered(neutron: ListingApi) -> None:
    names = ("one,two", "two\nlines", "\ud800")
    neutron.lists["networks"] = [
        {"id": f"n{number}", "name": name} for number, name in enumerate(names)
    ]
    assert offered("create-port", "") == []
    assert offered("create-port", "n") == ["n0", "n1", "n2"]


@pytest.mark.parametrize(("ref", "found"), [("red", (RED, "compute-1")), ("aaaaaaaa-0", None)])
def test_a_vif_is_located_by_its_whole_name_alone(
    neutron: ListingApi, ref: str, found: tuple[str, str] | None
) -> None:
    # A UUID's beginning may be a VM's name.
    neutron.lists["ports"] = [one for one in neutron.lists["ports"] if one["id"] == RED]
    assert locate("fakevm", ref, None, timeout_s=10) == found
