"""Commands: what a line means, what is printed where, and the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from fakevm.cli.lab.demo import HOSTS, steps
from fakevm.cli.root import COMMANDS, cli
from fakevm.cli.session import Session, say
from fakevm.cli.vm.vms import words
from fakevm.clients.agents import Execution
from fakevm.display import output
from fakevm.errors import BY_NAME, ConfigError, FakevmError
from fakevm.lab import Lab
from fakevm.labs.down import DownReport
from fakevm.labs.up import UpReport
from fakevm.protocol.interrupt import Terminated
from fakevm.recipe.settings import NOTHING, Wishes
from fakevm.vms.requests import PortRequest
from tests.unit.conftest import World


class FakeSession(Session):
    """The library on fakes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.opened: list[tuple[str, float | None]] = []
        self.wishes: list[tuple[str, Wishes, float]] = []
        self.fails: BaseException | None = None

    def lab(self, *, timeout_s: float | None = None) -> Lab:
        self.opened.append((self.lab_name, timeout_s))
        if self.fails:
            raise self.fails
        lab = self.world.lab()
        lab.say = say
        return lab

    def execute(self, ref: str, argv: Sequence[str], **options: Any) -> Execution:
        with_host = {"host": options["host"], "stdin": options["stdin"]}
        return self.world.lab().execute(ref, argv, **with_host)

    def up(self, wishes: Wishes, *, timeout_s: float, say: object) -> UpReport:
        self.wishes.append((self.lab_name, wishes, timeout_s))
        return UpReport(
            lab=self.lab_name,
            endpoint="http://127.0.0.1:9696",
            phases={"check": 0.1, "start": 20.0},
            removed_hosts=(),
            slowest="slowest: start, 20.0 s",
            status=self.world.lab().status(),
        )

    def down(self) -> DownReport:
        return DownReport(lab=self.lab_name, containers=("c",), networks=(), volumes=())


@pytest.fixture
def session(world: World) -> FakeSession:
    return FakeSession(world)


def run(session: Session, *args: str, env: dict[str, str] | None = None, stdin: str = "") -> Result:
    runner = CliRunner(env=env)
    return runner.invoke(
        cli, args, obj=session, auto_envvar_prefix="FAKEVM", prog_name="fakevm", input=stdin
    )


@pytest.fixture
def port_id(world: World) -> str:
    with world.lab() as lab:
        request = PortRequest(network="net", instance="[red]vm", host="compute-1", name="p")
        return lab.create_port(request).row.port_id


def test_help_names_every_command_by_group(session: FakeSession) -> None:
    text = run(session, "--help").stdout
    for section, commands in COMMANDS.items():
        assert f"{section}:" in text
        assert set(commands) <= set(text.split())


@pytest.mark.parametrize("name", [n for names in COMMANDS.values() for n in names])
def test_every_command_has_its_help_the_formats_and_the_lab(
    session: FakeSession, name: str
) -> None:
    if name in ("openstack", "completion"):
        # The arguments are the client's; of no lab.
        return
    result = run(session, name, "--help")
    assert result.exit_code == 0
    assert "--lab" in result.stdout
    # A group's commands are below it; OVN's programs print as they are told; faults have no result,
    # that of a capture is pcapng, or lines, and that of ui a page.
    faults = ("stop", "start", "kill", "cut", "slow")
    # A lab file is text.
    others = ("capture", "ui", "init", "save")
    if name not in ("shell", "demo", "config", "scenario", "ovn", *others, *faults):
        assert "--format" in result.stdout


def test_an_unknown_command_is_a_usage_error(session: FakeSession) -> None:
    assert run(session, "fly").exit_code == 2


@pytest.mark.parametrize(
    ("args", "env"),
    [
        (("exec", "p", "--", "\udcff"), {}),
        (("create-port", "\udcff", "vm"), {}),
        (("--lab", "\udcff", "list"), {}),
        (("create-port", "net", "vm"), {"FAKEVM_CREATE_PORT_NAME": "\udcff"}),
    ],
)
def test_bytes_that_are_no_text_are_refused(
    session: FakeSession, args: tuple[str, ...], env: dict[str, str]
) -> None:
    result = run(session, *args, env=env)
    assert result.exit_code == 2
    assert "'\\udcff' is not UTF-8" in result.stderr
    assert session.opened == []


@pytest.mark.parametrize(
    ("args", "env", "lab"),
    [
        (("list",), {}, "fakevm"),
        (("list",), {"FAKEVM_LAB": "env"}, "env"),
        (("--lab", "one", "list"), {"FAKEVM_LAB": "env"}, "one"),
        (("list", "--lab", "two"), {"FAKEVM_LAB": "env"}, "two"),
        (("--lab", "one", "list", "--lab", "two"), {}, "two"),
        (("list",), {"FAKEVM_LIST_LAB": "three"}, "three"),
    ],
)
def test_the_lab_is_chosen_by_option_or_environment(
    session: FakeSession, args: tuple[str, ...], env: dict[str, str], lab: str
) -> None:
    run(session, *args, env=env)
    assert session.opened[0][0] == lab


def test_up_takes_its_wishes_from_options_and_environment(session: FakeSession) -> None:
    env = {"FAKEVM_UP_COMPUTES": "5", "FAKEVM_API_PORT": "1234", "FAKEVM_LAB": "env"}
    assert run(session, "up", "--name", "ci", "--timeout", "9", env=env).exit_code == 0
    wishes = Wishes(computes=5, api_port=1234)
    assert session.wishes == [("ci", wishes, 9.0)]


def test_up_takes_what_lies_over_neutron(
    session: FakeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    packages = ("--package", "a==1", "--package", "./mine")
    drivers = ("--mechanism-drivers", "mine", "--service-plugins", "router,bgp")
    assert run(session, "up", "--neutron-src", ".", *packages, *drivers).exit_code == 0
    assert run(session, "up", "--no-neutron-src", "--no-package").exit_code == 0
    (_, given, _), (_, taken_away, _) = session.wishes
    # A path is found from wherever the next command is given.
    assert given.packages == ("a==1", str(tmp_path / "mine"))
    assert given.options == {"mechanism-drivers": "mine", "service-plugins": "router,bgp"}
    assert taken_away == Wishes(neutron_src=NOTHING, packages=())


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--package", "./nothing"), "there is no './nothing', a package's folder or file"),
        (("--package", "a", "--no-package"), "--package and --no-package exclude each other"),
        (("--neutron-src", ".", "--no-neutron-src"), "exclude each other"),
        (("--neutron-src", "./nothing"), "does not exist"),
    ],
)
def test_what_can_t_lie_over_neutron_is_refused(
    session: FakeSession, argv: tuple[str, ...], words: str
) -> None:
    result = run(session, "up", *argv)
    assert result.exit_code == 2
    assert words in result.stderr
    assert session.wishes == []


@pytest.mark.parametrize(
    "argv", [("down", "--name", "ci"), ("down", "--lab", "ci"), ("--lab", "ci", "down")]
)
def test_down_takes_the_lab_as_up_does(session: FakeSession, argv: tuple[str, ...]) -> None:
    assert "removed the lab 'ci'" in run(session, *argv).stderr


def test_up_prints_the_lab_and_tells_the_rest(session: FakeSession) -> None:
    result = run(session, "up")
    assert "compute-3" in result.stdout
    assert "Try next" in result.stderr
    assert "endpoint: http://127.0.0.1:9696" in result.stderr
    report = json.loads(run(session, "up", "-f", "json").stdout)
    assert report["phases"] == {"check": 0.1, "start": 20.0}


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_up_refuses_a_number_of_hosts_that_is_none(session: FakeSession, count: str) -> None:
    assert run(session, "up", "--computes", count).exit_code == 2


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-1", "1e9", "soon"])
@pytest.mark.parametrize(
    "argv",
    [
        ("up", "--timeout"),
        ("list", "--timeout"),
        ("exec", "--timeout"),
        ("create-port", "--vif-plugging-timeout"),
        ("migrate", "--rate"),
    ],
)
def test_a_number_that_is_none_is_refused(
    session: FakeSession, argv: tuple[str, str], number: str
) -> None:
    result = run(session, *argv, number, "p", "p")
    assert result.exit_code == 2
    assert f"Invalid value for '{argv[1]}'" in result.stderr


@pytest.mark.parametrize("cls", BY_NAME.values())
def test_an_error_becomes_text_and_its_exit_code(
    session: FakeSession, cls: type[FakevmError]
) -> None:
    session.fails = cls("the subject", hint="the mend")
    session.fails.add_note("and more")
    result = run(session, "list")
    assert result.exit_code == cls.exit_code
    assert result.stderr == "Error: the subject\nand more\nHint: the mend\n"
    assert result.stdout == ""


@pytest.mark.parametrize(("interrupt", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_an_interrupt_has_its_exit_code(
    session: FakeSession, interrupt: type[BaseException], code: int
) -> None:
    session.fails = interrupt()
    assert run(session, "list").exit_code == code


def test_a_bug_stays_a_traceback(session: FakeSession) -> None:
    session.fails = ZeroDivisionError("a bug")
    assert isinstance(run(session, "list").exception, ZeroDivisionError)


def test_the_formats_say_the_same(session: FakeSession, port_id: str) -> None:
    rows = json.loads(run(session, "list", "-f", "json").stdout)
    assert [row["port_id"] for row in rows] == [port_id]
    assert rows[0]["vm_name"] == "[red]vm"
    assert yaml.safe_load(run(session, "list", "-f", "yaml").stdout) == rows
    head, line = run(session, "list").stdout.splitlines()
    assert head.startswith("VM NAME  ")
    # In full and as it is, however narrow a terminal is thought to be.
    assert line.startswith("[red]vm  eth0  " + port_id)
    assert "10.0.1.101/24" in line


def test_create_port_hands_every_wish_on(session: FakeSession) -> None:
    result = run(
        *(session, "create-port", "--host", "compute-2", "--name", "web", "-f", "json"),
        *("--fixed-ip", "10.0.1.77", "--address", "static", "--timings", "net", "vm"),
    )
    made = json.loads(result.stdout)
    assert (made["host"], made["name"], made["vm_name"]) == ("compute-2", "web", "vm")
    assert made["addresses"] == ["10.0.1.77/24"]
    assert set(made["timings"]) >= {"neutron_s", "plug_s", "active_s", "configure_s", "other_s"}


def test_the_timeout_comes_from_the_environment_too(session: FakeSession) -> None:
    run(session, "list", env={"FAKEVM_TIMEOUT": "7"})
    run(session, "list", "--timeout", "8", env={"FAKEVM_TIMEOUT": "7"})
    assert session.opened == [("fakevm", 7.0), ("fakevm", 8.0)]


def test_verbs_on_a_port(session: FakeSession, port_id: str) -> None:
    def result(*args: str) -> Any:
        return json.loads(run(session, args[0], "-f", "json", *args[1:]).stdout)

    assert result("unplug", "p") == [
        {"host": "compute-1", "port_id": port_id, "changed": True, "error": ""}
    ]
    assert result("show", "p")["differs"] == "not plugged on compute-1"
    assert result("plug", "p")["plugged_host"] == "compute-1"
    assert result("migrate", "compute-3", "p")["destination"] == "compute-3"
    assert [one["changed"] for one in result("unplug-all-host", "p")] == [False, False, True]
    assert result("delete-port", "p") == [{"port_id": port_id}]
    assert result("cleanup", "--dry-run") == []


@pytest.mark.parametrize(
    "args",
    [("--lab", "", "list"), ("list", "--lab", ""), ("down", "--name", ""), ("up", "--name", "")],
)
def test_an_empty_name_is_no_lab(session: FakeSession, args: tuple[str, ...]) -> None:
    result = run(session, *args)
    assert result.exit_code == 2
    assert "'' is no lab's name" in result.stderr
    assert (session.opened, session.wishes) == ([], [])


def test_delete_port_needs_a_port(session: FakeSession) -> None:
    assert run(session, "delete-port").exit_code == 2


@pytest.mark.parametrize(
    ("typed", "argv"),
    [
        (("ip link",), ["ip", "link"]),
        (("ping -c 1 'a b'",), ["ping", "-c", "1", "a b"]),
        (("--", "ip link"), ["ip link"]),
        (("--", "ip", "link"), ["ip", "link"]),
        (("ip", "-o", "link"), ["ip", "-o", "link"]),
        (("--", "printf", "$HOME; `id`", ""), ["printf", "$HOME; `id`", ""]),
        (("echo $HOME; id",), ["echo", "$HOME;", "id"]),
    ],
)
def test_a_command_is_words_and_never_a_shell_s(typed: tuple[str, ...], argv: list[str]) -> None:
    assert words(typed) == argv


@pytest.mark.parametrize("typed", [("",), ("--",), ("'open",)])
def test_a_command_that_is_none_is_refused(typed: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        words(typed)


def test_exec_passes_streams_and_the_exit_code(session: FakeSession, port_id: str) -> None:
    assert run(session, "exec", "p", "echo -n hi").stdout == "-n hi\n"
    result = run(session, "exec", "p", "--", "complain", "ouch", "42")
    assert (result.exit_code, result.stdout, result.stderr) == (42, "", "ouch")


def test_exec_can_give_its_result_as_one(session: FakeSession, port_id: str) -> None:
    result = run(session, "exec", "-f", "json", "p", "complain ouch 3")
    assert result.exit_code == 3
    assert json.loads(result.stdout) == {"exit_code": 3, "stdout": "", "stderr": "ouch"}


def test_clouds_yaml_is_the_entry_of_a_client(session: FakeSession) -> None:
    expected = {
        "clouds": {"fakevm": {"auth_type": "none", "auth": {"endpoint": "http://127.0.0.1:9696"}}}
    }
    assert yaml.safe_load(run(session, "clouds-yaml").stdout) == expected
    assert json.loads(run(session, "clouds-yaml", "-f", "json").stdout) == expected


def test_shell_needs_a_terminal(session: FakeSession, port_id: str) -> None:
    result = run(session, "shell", "p")
    assert result.exit_code == 2
    assert "needs a terminal" in result.stderr


def test_the_demo_needs_its_hosts(session: FakeSession) -> None:
    session.world.engine.all_containers = [
        one for one in session.world.engine.all_containers if one.service != "compute-3"
    ]
    result = run(session, "demo")
    assert result.exit_code == 4
    assert "fakevm up --computes 3" in result.stderr


def test_the_demo_s_steps_are_commands_that_there_are() -> None:
    known = {name for commands in COMMANDS.values() for name in commands}
    made = steps("10.10.10.5")
    assert {step.argv[0] for step in made} <= known
    assert [step.argv for step in made if step.argv[0] == "migrate"] == [
        ("migrate", HOSTS[2], "demo-2")
    ]


def test_nothing_in_a_name_is_for_the_terminal_to_obey() -> None:
    assert output.visible("a\x1b[31m\nb[red]день") == "a\\x1b[31m\\nb[red]день"


def test_every_command_is_typed_as_one() -> None:
    for commands in COMMANDS.values():
        for name in commands:
            command = cli.get_command(click.Context(cli), name)
            assert command is not None
            assert command.name == name


def typed(*words: str, stdout: Any = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own."""
    return subprocess.run(
        (sys.executable, "-m", "fakevm", *words),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )


def test_a_process_has_printed_all_when_it_ends() -> None:
    helped = typed("--help")
    assert helped.returncode == 0
    # The last section's commands, too.
    assert {name for names in COMMANDS.values() for name in names} <= set(helped.stdout.split())
    refused = typed("nonsense")
    assert refused.returncode == 2
    assert "nonsense" in refused.stderr


def test_ctrl_c_while_the_program_is_imported_ends_it_quietly() -> None:
    program = """
import runpy, signal, sys

class Interrupted:
    def find_spec(self, name, *_):
        if name == "click":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupted())
runpy.run_module("fakevm", run_name="__main__")
"""
    ended = subprocess.run(
        (sys.executable, "-c", program), capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (130, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_none_to_stumble_over(closed: str) -> None:
    listed = subprocess.run(
        ("sh", "-c", f'exec "$0" -m fakevm scenario list {closed}', sys.executable),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (listed.returncode, listed.stderr) == (0, "")
    assert ("LETTER" in listed.stdout) == (" >&-" not in f" {closed}")


def test_a_full_disk_is_told_in_a_line() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        helped = typed("--help", stdout=full)
    assert helped.returncode == 1
    assert helped.stderr == "Error: what was to be printed: No space left on device\n"


def test_a_vm_on_its_host_and_on_none(world: World) -> None:
    session = FakeSession(world)
    run(session, "create-port", "--host", "compute-1", "--name", "p", "net", "vm")

    def rows(*args: str) -> list[dict[str, Any]]:
        result = run(session, *args, "-f", "json")
        assert result.exit_code == 0, result.stderr
        told: list[dict[str, Any]] = json.loads(result.stdout)
        return told

    for pause, resume in (("pause", "unpause"), ("suspend", "resume")):
        assert rows(pause, "vm")[0]["differs"] == "VM vm is paused"
        assert rows(resume, "vm")[0]["differs"] == ""
    for verb in ("reboot", "rebuild"):
        assert rows(verb, "vm")[0]["status"] == "ACTIVE"
    assert rows("shelve", "vm")[0]["host"] == ""
    assert rows("unshelve", "--host", "compute-2", "vm")[0]["host"] == "compute-2"
    assert run(session, "reboot", "nobody").exit_code == 3


def test_a_port_is_attached_and_detached(world: World) -> None:
    session = FakeSession(world)
    port = world.neutron.create_port({"network_id": world.neutron.network("net").id})
    made = run(session, "attach", "--host", "compute-2", "vm", port.id, "-f", "json")
    assert json.loads(made.stdout)["host"] == "compute-2"
    done = run(session, "detach", port.id, "-f", "json")
    assert json.loads(done.stdout) == {"port_id": port.id, "deleted": False}
