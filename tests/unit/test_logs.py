"""The lab's logs: lines, their order, how they are followed, and the archive of a bug report."""

from __future__ import annotations

import errno
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import docker
import pytest

from fakevm.clients.containers import Container
from fakevm.clients.engine import Engine
from fakevm.clients.log_stream import LogStream, lines_of
from fakevm.display import output
from fakevm.errors import ConfigError, FakevmError, NotFoundError, UnavailableError
from fakevm.lab import Lab
from fakevm.logs import redaction
from fakevm.logs.bug_report import described, file_name
from fakevm.logs.lines import Line, Wanted, chosen, merged, parse, seconds, utc
from fakevm.neutron.login import Login
from tests.fakes.engine import FakeEngine, make_container
from tests.unit.conftest import World
from tests.unit.test_cli import FakeSession, run
from tests.waiting import wait_until

DATABASE = "d" * 32
RABBITMQ = "r" * 32


def at(second: float, text: str) -> bytes:
    """Return what the engine sends of a line."""
    return f"2026-11-26T22:00:{second:012.9f}Z {text}\n".encode()


def line(second: float, text: str, container: str = "compute-1", process: str = "") -> Line:
    return parse(
        at(second, f"{process}: {text}" if process else text)[:-1],
        container,
        supervised=bool(process),
    )


@pytest.fixture
def talking(world: World) -> World:
    """A lab whose hosts and database have said something."""
    world.engine.said = {
        "compute-1": [
            at(1, "host-init says this"),
            at(2, "l2-agent: first"),
            at(5, "ovs-vswitchd: third"),
        ],
        "compute-2": [at(4, "l2-agent: second"), at(6, "l2-agent: fourth")],
        "mariadb": [at(3, "Note: ready")],
    }
    return world


def texts(batches: Iterator[list[Line]]) -> list[str]:
    return [f"{one.container} {one.process} {one.text}" for batch in batches for one in batch]


# Lines


def test_a_line_has_its_time_its_host_and_its_process() -> None:
    raw = b"2026-11-26T22:00:13.124999257Z l2-agent: 2026-11-26 22:00 INFO a: b"
    assert parse(raw, "compute-1", supervised=True) == Line(
        time="2026-11-26T22:00:13.124999257Z",
        container="compute-1",
        process="l2-agent",
        text="2026-11-26 22:00 INFO a: b",
    )


@pytest.mark.parametrize(
    ("text", "supervised", "process", "rest"),
    [
        ("l2-agent: ", True, "l2-agent", ""),
        ("l2-agent:x", True, "", "l2-agent:x"),
        ("RTNETLINK answers: File exists", True, "", "RTNETLINK answers: File exists"),
        ("warning: this", False, "", "warning: this"),
        ("", True, "", ""),
    ],
)
def test_only_what_the_supervisor_puts_there_is_a_process(
    text: str, supervised: bool, process: str, rest: str
) -> None:
    found = parse(at(1, text)[:-1], "x", supervised=supervised)
    assert (found.process, found.text) == (process, rest)


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    found = parse(b"2026-11-26T22:00:13.124999257Z caf\xe9\r", "x", supervised=False)
    assert found.text == "caf\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("time", "there"),
    [
        ("2026-11-26T22:00:13.124999257Z", "2026-11-26T22:00:13.124999257Z"),
        ("2026-11-27T00:30:13.124999257+02:30", "2026-11-26T22:00:13.124999257Z"),
        ("2026-11-26T20:00:13.000000001-02:00", "2026-11-26T22:00:13.000000001Z"),
    ],
)
def test_times_are_utc(time: str, there: str) -> None:
    assert utc(time) == there
    assert int(seconds(there)) == 1795730413


def test_a_line_that_the_engine_has_cut_is_one_again() -> None:
    long = "x" * 16384
    messages = [
        at(1, f"l2-agent: {long}")[:-1],
        at(1.1, long)[:-1],
        at(1.2, "end"),
        at(2, "next") + at(3, "and another"),
        at(4, "never ended")[:-1],
    ]
    whole, *others = lines_of(messages)
    assert whole == at(1, f"l2-agent: {long}{long}end")[:-1]
    assert others == [at(2, "next")[:-1], at(3, "and another")[:-1], at(4, "never ended")[:-1]]


def test_lines_are_in_the_order_of_their_times() -> None:
    one = [line(1, "a"), line(3, "c")]
    two = [line(2, "b", "mariadb"), line(3.5, "d", "mariadb")]
    assert [found.text for found in merged([one, two])] == ["a", "b", "c", "d"]


# Which lines


def test_all_logs_are_one(talking: World) -> None:
    with talking.lab() as lab:
        assert texts(lab.logs(Wanted())) == [
            "compute-1  host-init says this",
            "compute-1 l2-agent first",
            "mariadb  Note: ready",
            "compute-2 l2-agent second",
            "compute-1 ovs-vswitchd third",
            "compute-2 l2-agent fourth",
        ]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(names=("mariadb", "compute-2")), "ready second fourth"),
        (Wanted(names=("fakevm-compute-2-1",)), "second fourth"),
        (Wanted(process="l2-agent"), "first second fourth"),
        (Wanted(process="l2-agent", tail=1), "first fourth"),
        (Wanted(tail=1), "ready third fourth"),
        (Wanted(tail=0), ""),
        (Wanted(since=seconds("2026-11-26T22:00:04.500000000Z")), "third fourth"),
    ],
)
def test_some_lines_are_wanted(talking: World, wanted: Wanted, words: str) -> None:
    with talking.lab() as lab:
        found = texts(lab.logs(wanted))
    assert [text.split()[-1] for text in found] == words.split()


def test_an_unknown_host_is_told_with_the_known_ones() -> None:
    containers = [make_container("compute-1"), make_container("mariadb")]
    assert chosen(containers, ()) == containers
    with pytest.raises(NotFoundError, match="'compute-7'; there are compute-1, mariadb"):
        chosen(containers, ["mariadb", "compute-7"])


def test_an_unknown_process_is_told_with_those_that_have_spoken(talking: World) -> None:
    with talking.lab() as lab:
        with pytest.raises(NotFoundError, match=r"'l3'.*; there are l2-agent, ovs-vswitchd"):
            texts(lab.logs(Wanted(process="l3")))
        with pytest.raises(NotFoundError, match="in the logs of mariadb; there is none"):
            texts(lab.logs(Wanted(names=("mariadb",), process="l2-agent")))


def test_a_process_may_be_quiet(talking: World) -> None:
    with talking.lab() as lab:
        later = seconds("2026-11-26T22:00:30.000000000Z")
        assert texts(lab.logs(Wanted(process="l2-agent", since=later))) == []


def test_the_engine_is_asked_for_times() -> None:
    asked: dict[str, Any] = {}

    class Client:
        def logs(self, container: str, **options: Any) -> Iterator[bytes]:
            asked.update(options, container=container)
            return iter([at(1, "a")])

    container = make_container("mariadb")
    found = Engine(cast("docker.APIClient", Client())).log(container, since=1.5)
    assert list(found) == [at(1, "a")[:-1]]
    assert asked.pop("container") == container.id
    assert asked == {
        "stream": True,
        "follow": False,
        "timestamps": True,
        "since": 1.5,
        "tail": "all",
    }


# Following


class Following:
    """What follows the logs, in a thread, as a user's terminal would."""

    def __init__(self, lab: Lab, wanted: Wanted) -> None:
        self.found: list[str] = []
        self.error: BaseException | None = None
        self.batches = 0
        self._batches = lab.follow_logs(wanted, look_s=0.02)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for batch in self._batches:
                self.batches += 1
                self.found += texts(iter([batch]))
                if self._end.is_set():
                    break
            self._batches.close()  # type: ignore[attr-defined]
        except BaseException as error:
            self.error = error

    def wait_for(self, words: str) -> None:
        wait_until(
            words, lambda: any(words in one for one in self.found) or self.error, timeout_s=10
        )

    def end(self) -> list[str]:
        self._end.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self.found


def test_what_comes_is_added(talking: World) -> None:
    with talking.lab() as lab:
        following = Following(lab, Wanted(process="l2-agent"))
        following.wait_for("fourth")
        talking.engine.said["compute-3"].append(at(7, "l2-agent: fifth"))
        following.wait_for("fifth")
        talking.engine.said["compute-1"].append(at(8, "ovs-vswitchd: not this"))
        talking.engine.said["compute-1"].append(at(9, "l2-agent: sixth"))
        following.wait_for("sixth")
        words = [text.split()[-1] for text in following.end()]
    assert words == ["first", "second", "fourth", "fifth", "sixth"]


def test_of_none_that_is_there_only_what_comes_is_shown(talking: World) -> None:
    with talking.lab() as lab:
        following = Following(lab, Wanted(tail=0))
        wait_until("a quiet moment", lambda: following.batches > 1, timeout_s=10)
        talking.engine.said["mariadb"].append(at(7, "new"))
        following.wait_for("new")
        assert following.end() == ["mariadb  new"]


@pytest.mark.parametrize("anew", [False, True])
def test_a_container_that_restarts_goes_on(talking: World, anew: bool) -> None:
    engine = talking.engine
    with talking.lab() as lab:
        following = Following(lab, Wanted(names=("compute-2",)))
        following.wait_for("fourth")
        engine.end("compute-2")
        if anew:
            engine.all_containers = [
                replace(one, id="new") if one.service == "compute-2" else one
                for one in engine.all_containers
            ]
            engine.said["compute-2"] = []
        engine.said["compute-2"].append(at(7, "l2-agent: again"))
        engine.begin("compute-2")
        following.wait_for("again")
        found = following.end()
    assert following.error is None
    assert found == [f"compute-2 l2-agent {word}" for word in ("second", "fourth", "again")]


def test_an_engine_that_ends_is_told(talking: World) -> None:
    with talking.lab() as lab:
        following = Following(lab, Wanted(names=("compute-2",)))
        following.wait_for("fourth")

        talking.engine.away = True
        talking.engine.end("compute-2")
        wait_until("the error", lambda: following.error, timeout_s=10)
        following.end()
    assert isinstance(following.error, UnavailableError)


# The command


def test_each_line_begins_with_its_container_and_process(talking: World) -> None:
    result = run(FakeSession(talking), "logs", "compute-1")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "compute-1 | host-init says this",
        "compute-1 l2-agent | first",
        "compute-1 ovs-vswitchd | third",
    ]


def test_json_is_an_object_a_line(talking: World) -> None:
    result = run(FakeSession(talking), "logs", "--format", "json", "--process", "ovs-vswitchd")
    assert [json.loads(text) for text in result.stdout.splitlines()] == [
        {
            "time": "2026-11-26T22:00:05.000000000Z",
            "container": "compute-1",
            "process": "ovs-vswitchd",
            "text": "third",
        }
    ]


def test_a_terminal_is_told_nothing_that_it_obeys(talking: World) -> None:
    talking.engine.said = {"rabbitmq": [at(1, "\x1b[38;5;160mred\x1b[0m\tand \x1b]0;title\x07")]}
    assert run(FakeSession(talking), "logs").stdout == "rabbitmq | red     and \\x1b]0;title\\x07\n"


def test_unknown_names_are_errors(talking: World) -> None:
    for argv in (("compute-9",), ("--process", "l9"), ("-f", "compute-9")):
        result = run(FakeSession(talking), "logs", *argv)
        assert (result.exit_code, result.stdout) == (3, "")


def test_following_ends_when_nobody_reads(talking: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "is_read", lambda: False)
    result = run(FakeSession(talking), "logs", "--follow", "mariadb")
    assert (result.exit_code, result.stdout) == (0, "mariadb | Note: ready\n")


def test_an_archive_has_all_or_is_none(talking: World) -> None:
    for argv in (("-f",), ("--tail", "0"), ("compute-1",), ("--process", "x"), ("--since", "1")):
        assert run(FakeSession(talking), "logs", "--export", "x.tgz", *argv).exit_code == 2


# What is hidden


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"login {DATABASE}, {RABBITMQ}.", "login ***, ***."),
        (
            "mysql+pymysql://neutron:neutron@mariadb/neutron",
            "mysql+pymysql://neutron:***@mariadb/neutron",
        ),
        ("git+https://ghp_123@github.com/x", "git+https://***@github.com/x"),
        (
            '-H "X-Auth-Token: {SHA256}0af" -H "Accept: */*"',
            '-H "X-Auth-Token: ***" -H "Accept: */*"',
        ),
        ("{'X-Auth-Token': 'abc', 'a': 1}", "{'X-Auth-Token': '***', 'a': 1}"),
        ('{\\"X-Subject-Token\\": \\"abc\\"}', '{\\"X-Subject-Token\\": \\"***\\"}'),
        ("HTTP_X_AUTH_TOKEN=abc&x", "HTTP_X_AUTH_TOKEN=***&x"),
        ("Authorization: Basic YWJj\nnext", "Authorization: Basic ***\nnext"),
        ('"password": "abc"}', '"password": "***"}'),
        ("metadata_proxy_shared_secret = abc\n", "metadata_proxy_shared_secret = ***\n"),
        ("token gAAAAAB" + "x" * 80 + " ends", "token *** ends"),
        ("Missing X-Auth-Token header", "Missing X-Auth-Token header"),
        ('{"option": "password", "value": "****"}', '{"option": "password", "value": "****"}'),
        (
            "neutron.agent: http://127.0.0.1:9696/v2.0/ports?a=b@c",
            "neutron.agent: http://127.0.0.1:9696/v2.0/ports?a=b@c",
        ),
        ("password =\nnext", "password =\nnext"),
    ],
)
def test_secrets_are_hidden_and_nothing_else(text: str, hidden: str) -> None:
    hide = redaction.hiding([DATABASE, RABBITMQ])
    assert hide(text) == hidden
    assert hide(hidden) == hidden


def test_a_password_is_hidden_however_it_is_written() -> None:
    hide = redaction.hiding(['a"/b', 'a"/b and more'])
    assert hide('a"/b and more') == "***"
    assert hide("x a%22%2Fb y") == "x *** y"
    assert hide(json.dumps({"x": 'a"/b'})) == '{"x": "***"}'


def test_secrets_are_what_containers_were_given() -> None:
    environments = [
        {"DATABASE_PASSWORD": DATABASE, "PATH": "/bin", "FAKEVM_KEYSTONE_PASSWORD": ""},
        {"OS_DEFAULT__TRANSPORT_URL": f"rabbit://neutron:{RABBITMQ}@rabbitmq/"},
        {"OS_DEFAULT__METADATA_PROXY_SHARED_SECRET": "neutron"},
        {"FAKEVM_PACKAGES": '["git+https://me:token1@example.org/x"]'},
    ]
    request = Login(auth_url="", username="admin", project="admin", password="of-another").request()
    environments += [{"FAKEVM_KEYSTONE_LOGIN": value} for value in (request, "")]
    # Compose's own default is no secret, and a word of most lines.
    assert redaction.secrets_of(environments) == {DATABASE, RABBITMQ, "token1", "of-another"}


# The archive


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A docker program that says what it was asked, and the database's password."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        "*neutron-config-show) echo '[]';;\n"
        "*list-br) echo br-int;;\n"
        f'*compute-3*netns) echo "cannot: {DATABASE}" >&2; exit 1;;\n'
        f'*) echo "$* {DATABASE}";;\n'
        "esac\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@pytest.fixture
def asked(talking: World) -> World:
    """A lab with passwords, a host that has ended, and one that has said a password."""
    talking.engine.environments = {"mariadb": {"DATABASE_PASSWORD": DATABASE}}
    talking.engine.said["compute-1"].append(at(9, f"l2-agent: {DATABASE} X-Auth-Token: abc"))
    talking.engine.end("compute-2")
    return talking


def unpacked(packed: bytes) -> dict[str, str]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        for member in archive.getmembers():
            top, _, name = member.name.partition("/")
            assert top == "fakevm-report"
            file = archive.extractfile(member)
            assert file
            found[name] = file.read().decode()
    return found


@pytest.mark.usefixtures("program")
def test_an_archive_has_what_can_be_seen_and_no_password(asked: World, tmp_path: Path) -> None:
    out = tmp_path / "lab.tgz"
    with asked.lab() as lab:
        report = lab.bug_report(out)
    found = unpacked(out.read_bytes())
    assert sorted(found) == sorted(report.files)
    assert DATABASE not in "".join(found.values())
    assert {
        *("logs/compute-1.log", "logs/compute-2.log", "logs/mariadb.log"),
        *("configuration/neutron-api.json", "configuration/compute-1.json"),
        *("hosts/compute-1/ovs-vsctl-show.txt", "hosts/compute-1/ovs-vsctl-list-Port.json"),
        "hosts/compute-1/ovs-ofctl-dump-flows-br-int.txt",
        "hosts/network-1/ovs-ofctl-dump-ports-desc-br-int.txt",
        *("neutron/networks.json", "neutron/ports.json", "status.json", "events.jsonl"),
        *("versions/docker.json", "versions/compose.json", "versions/fakevm.json"),
        *("versions/images.json", "versions/ovs-vswitchd.txt"),
    } <= set(found)
    assert found["logs/compute-1.log"].splitlines()[-1].endswith("l2-agent: *** X-Auth-Token: ***")
    assert found["logs/mariadb.log"].encode() == at(3, "Note: ready")
    assert json.loads(found["neutron/networks.json"])["networks"][0]["name"] == "net"
    assert json.loads(found["status.json"])["lab"] == "fakevm"
    # Neutron has no such extension.
    assert "neutron/trunks.json" not in found
    assert not any("ovn" in name for name in found)


@pytest.mark.usefixtures("program")
def test_a_part_that_fails_says_why(asked: World) -> None:
    asked.neutron.broken["answer"] = UnavailableError("Neutron is silent", hint="fakevm status")
    out = io.BytesIO()
    with asked.lab() as lab:
        report = lab.bug_report(out)
    found = unpacked(out.getvalue())
    assert found["neutron/ports.json.error"] == "Neutron is silent\nHint: fakevm status\n"
    assert "cannot: ***" in found["hosts/compute-3/ip-netns.txt.error"]
    assert "hosts/compute-3/ip-addr.txt" in found
    assert "compute-2 is exited" in found["hosts/compute-2/commands.error"]
    assert [name for name in found if name.startswith("hosts/compute-2/")] == [
        "hosts/compute-2/commands.error"
    ]
    assert {"neutron/ports.json", "hosts/compute-2/commands"} <= set(report.failed)
    assert f"{report.failed[0]}.error" in found


@pytest.mark.usefixtures("program")
def test_a_log_that_breaks_off_is_kept_so_far(asked: World) -> None:
    class Breaking(FakeEngine):
        def log(self, container: Container, **_: Any) -> LogStream:
            def messages() -> Iterator[bytes]:
                yield from (at(1, str(number)) for number in range(1000))
                raise UnavailableError("the engine is away")

            return LogStream(messages(), close=lambda: None)

    asked.engine = Breaking(*asked.engine.all_containers)
    out = io.BytesIO()
    with asked.lab() as lab:
        lab.bug_report(out)
    found = unpacked(out.getvalue())
    assert found["logs/mariadb.log"].splitlines()[0].endswith(" 0")
    assert found["logs/mariadb.log.error"] == "the engine is away\n"


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, FakevmError), (errno.EIO, ConfigError)]
)
def test_a_full_disk_leaves_what_was_there(
    asked: World, tmp_path: Path, number: int, kind: type[FakevmError]
) -> None:
    class Full(FakeEngine):
        def log(self, container: Container, **_: Any) -> LogStream:
            raise OSError(number, os.strerror(number))

    asked.engine = Full(*asked.engine.all_containers)
    out = tmp_path / "lab.tgz"
    out.write_text("an earlier one", encoding="utf-8")
    with asked.lab() as lab, pytest.raises(kind, match=os.strerror(number)) as caught:
        lab.bug_report(out)
    assert type(caught.value) is kind
    assert out.read_text(encoding="utf-8") == "an earlier one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "lab.tgz"]


@pytest.mark.usefixtures("program")
def test_an_archive_goes_nowhere_but_into_a_file(asked: World, tmp_path: Path) -> None:
    with asked.lab() as lab:
        with pytest.raises(ConfigError, match="No such file"):
            lab.bug_report(tmp_path / "absent" / "lab.tgz")
        with pytest.raises(ConfigError, match="/dev/null is no file"):
            lab.bug_report(Path("/dev/null"))


@pytest.mark.usefixtures("program")
def test_the_command_writes_it_and_tells_what_is_missing(asked: World, tmp_path: Path) -> None:
    file = tmp_path / "lab.tgz"
    result = run(FakeSession(asked), "logs", "--export", str(file))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "hosts/compute-2/commands.error says why" in result.stderr
    assert f"bug report: {file}" in result.stderr
    assert "status.json" in unpacked(file.read_bytes())
    shown = run(FakeSession(asked), "logs", "--export", "-")
    assert "status.json" in unpacked(shown.stdout_bytes)


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (("ovs-vsctl", "--format=json", "list", "Port"), "ovs-vsctl-list-Port.json"),
        (("ip", "-d", "addr"), "ip-addr.txt"),
        (("ovs-ofctl", "dump-flows", "br-int"), "ovs-ofctl-dump-flows-br-int.txt"),
        (("ovs-vswitchd", "--version"), "ovs-vswitchd.txt"),
    ],
)
def test_a_file_is_called_as_its_command(argv: tuple[str, ...], name: str) -> None:
    assert file_name(argv) == name


def test_an_error_has_its_notes_and_its_hint() -> None:
    error = FakevmError("a", hint="c")
    error.add_note("b")
    assert described(error) == "a\nb\nHint: c\n"
