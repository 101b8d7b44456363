"""Commands in a VM: what they see, what they say, and that none outlives its client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakevm.model import Vm
from tests.functional.agent import Agent, Client, RefusedError, ended, memory_kib
from tests.functional.conftest import make_vif, make_vm
from tests.functional.openvswitch import run, wait_until_ended
from tests.waiting import wait_until

# A daemon by the book: it leaves its session and its parent, and closes what it had open.
DAEMON = """
import os, time
ready, told = os.pipe()
if os.fork():
    os.close(told)
    os.read(ready, 1)
    os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
print(os.getpid(), flush=True)
null = os.open(os.devnull, os.O_RDWR)
for fd in (0, 1, 2): os.dup2(null, fd)
os.close(told)
time.sleep(3600)
"""


@pytest.fixture
def guest(agent: Agent, vm: Vm) -> Iterator[Vm]:
    """A VM with a NIC."""
    vif = make_vif("10.0.0.5/24")
    agent.plug(vif, vm)
    yield vm
    agent.unplug(vif.port_id)


@pytest.fixture
def client(agent: Agent) -> Iterator[Client]:
    with Client(agent.socket) as found:
        yield found


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["true"], 0),
        (["false"], 1),
        (["sh", "-c", "exit 42"], 42),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["no-such-command"], 127),
        (["/etc/passwd"], 126),
        (["/no/such/file"], 127),
    ],
)
def test_the_exit_code_is_the_commands_own(
    agent: Agent, guest: Vm, argv: list[str], code: int
) -> None:
    done = agent.exec(guest, *argv)
    assert done.code == code
    if code in (126, 127):
        assert argv[0] in done.stderr


def test_both_outputs_come_apart_and_whole(agent: Agent, guest: Vm) -> None:
    done = agent.exec(guest, "sh", "-c", "seq 1 50000; seq 1 50000 >&2; printf end")
    numbers = "".join(f"{number}\n" for number in range(1, 50001))
    assert (done.stdout, done.stderr) == (f"{numbers}end", numbers)


def test_words_are_passed_on_and_never_interpreted(agent: Agent, guest: Vm) -> None:
    words = ["$(id)", "a b", "'\"", "*", "`id`", "naïve 日本", "", "\n", "; id", "x" * 100_000]
    done = agent.exec(guest, "printf", "%s|", *words)
    assert done.stdout == "".join(f"{word}|" for word in words)


def test_a_word_that_is_too_long_is_the_commands_failure(agent: Agent, guest: Vm) -> None:
    done = agent.exec(guest, "true", "x" * 1_000_000)
    assert done.code == 126
    assert "too long" in done.stderr


def test_input_reaches_the_command(agent: Agent, guest: Vm) -> None:
    data = os.urandom(300_000).hex()
    assert agent.exec(guest, "cat", stdin=data.encode()).stdout == data


def test_without_input_there_is_none(agent: Agent, guest: Vm) -> None:
    assert agent.exec(guest, "cat").code == 0


def test_output_comes_while_the_command_runs(client: Client, guest: Vm) -> None:
    number = client.start(guest, "sh", "-c", "echo ready; read line; echo got $line", stdin=True)
    assert client.read_until(number, b"ready\n") == b"ready\n"
    client.send_input(number, b"it\n")
    assert client.finish(number).stdout == "ready\ngot it\n"


def test_input_that_the_command_does_not_read_is_thrown_away(client: Client, guest: Vm) -> None:
    number = client.start(guest, "head", "-c1", stdin=True)
    for _ in range(100):
        client.send_input(number, b"x" * 48_000)
    assert client.finish(number).stdout == "x"
    assert client.call("info")["vms"] == 1


def test_input_that_a_daemon_holds_and_does_not_read_is_thrown_away(
    client: Client, guest: Vm
) -> None:
    # More than a pipe has room for, and a command that ends before it was read.
    script = "setsid --fork sleep 600 >/dev/null 2>&1; echo ready; sleep 0.5"
    number = client.start(guest, "sh", "-c", script, stdin=True)
    assert client.read_until(number, b"ready\n") == b"ready\n"
    client.send_input(number, b"x" * 200_000)
    assert client.finish(number).code == 0
    assert client.call("info")["vms"] == 1


def test_a_command_sees_the_vm_and_not_the_host(agent: Agent, guest: Vm) -> None:
    script = "hostname; cat /etc/hostname; ls /sys/class/net; cat /etc/resolv.conf; ls /run"
    done = agent.exec(guest, "sh", "-c", script)
    assert done.stdout.split() == ["vm1", "vm1", "eth0", "lo", "lock"]
    # What a VM writes stays its own, and is there for its next command.
    agent.exec(guest, "sh", "-c", "echo nameserver 192.0.2.1 > /etc/resolv.conf; touch /run/it")
    assert agent.exec(guest, "cat", "/etc/resolv.conf").stdout == "nameserver 192.0.2.1\n"
    assert agent.exec(guest, "ls", "/run").stdout.split() == ["it", "lock"]
    assert "192.0.2.1" not in Path("/etc/resolv.conf").read_text()
    assert not Path("/run/it").exists()
    assert run("hostname").strip() != "vm1"


def test_a_command_has_a_clean_environment(agent: Agent, guest: Vm) -> None:
    names = {line.split("=")[0] for line in agent.exec(guest, "env").stdout.splitlines()}
    assert names == {"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER"}
    # No descriptor of the agent's, and no signal that Python ignores.
    assert agent.exec(guest, "ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]
    status = agent.exec(guest, "cat", "/proc/self/status").stdout
    ignored = int(next(line for line in status.splitlines() if "SigIgn" in line).split()[1], 16)
    # 32 and 33 are the C library's own: they stay as the Docker engine was started with.
    assert ignored & ~(0b11 << 31) == 0


def test_a_vms_name_is_made_a_hosts_name(agent: Agent) -> None:
    for name, expected in {
        "Web Server_1": "web-server-1",
        "日本": None,
        "x" * 300: "x" * 63,
        "--": None,
    }.items():
        vm = make_vm(name)
        agent.plug(make_vif(), vm)
        seen = agent.exec(vm, "hostname").stdout.strip()
        assert seen == (expected or f"vm-{vm.instance_id[:8]}")


def test_a_hundred_commands_run_at_once(client: Client, guest: Vm) -> None:
    # None ends before all of them run.
    script = "echo $1; read line"
    numbers = {
        client.start(guest, "sh", "-c", script, "sh", f"n{count}", stdin=True): f"n{count}\n"
        for count in range(100)
    }
    for number, text in numbers.items():
        client.read_until(number, text.encode())
    for number in numbers:
        client.send_input(number, b"")
    for number, text in numbers.items():
        assert client.finish(number).stdout == text


def test_a_slow_reader_holds_the_command_back(agent: Agent, guest: Vm) -> None:
    with Client(agent.socket) as slow:
        number = slow.start(guest, "sh", "-c", "echo $$; exec yes")
        pid = int(slow.read_until(number, b"\n").split()[0])
        before = memory_kib(agent.pid)
        # `yes` has filled what is between when it sleeps; others are served meanwhile.
        while "pipe" not in Path(f"/proc/{pid}/wchan").read_text() and not _is_sleeping(pid):
            assert agent.exec(guest, "true").code == 0
        for _ in range(20):
            assert agent.exec(guest, "true").code == 0
        assert memory_kib(agent.pid) - before < 8 * 1024
    wait_until_gone(pid)


def test_too_much_input_holds_the_client_back(agent: Agent, guest: Vm) -> None:
    """The command reads nothing; the agent takes some MiB and no more, and sees the client go."""
    before = memory_kib(agent.pid)
    client = Client(agent.socket)
    number = client.start(guest, "sh", "-c", "echo $$; exec sleep 3600", stdin=True)
    pid = int(client.read_until(number, b"\n").split()[0])
    client.set_timeout(0.5)
    with pytest.raises(TimeoutError):
        _flood(client, number)
    assert memory_kib(agent.pid) - before < 64 * 1024
    client.close()
    wait_until_gone(pid)


def test_a_timeout_ends_the_command_and_its_daemons(client: Client, guest: Vm) -> None:
    script = f"python3 -c '{DAEMON}' & echo $$; sleep 3600"
    number = client.start(guest, "sh", "-c", script, timeout_s=2.0)
    with pytest.raises(RefusedError, match="2 s") as refused:
        client.finish(number)
    assert refused.value.type == "WaitTimeoutError"
    pids = [int(word) for word in client.said(number).split()]
    assert len(pids) == 2
    # They ended before the answer came.
    assert all(map(ended, pids))


def test_a_command_whose_first_thread_has_ended_is_ended_too(client: Client, guest: Vm) -> None:
    program = (
        "import ctypes, os, threading, time\n"
        "threading.Thread(target=time.sleep, args=(3600,)).start()\n"
        "print(os.getpid(), flush=True)\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    number = client.start(guest, "python3", "-c", program)
    pid = int(client.read_until(number, b"\n"))
    wait_until("the end of its first thread", lambda: ended(pid))
    client.notify("exec.cancel", id=number)
    assert client.finish(number).code == 137
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("way", ["close", "end_writing", "cancel"])
def test_a_client_that_goes_takes_its_commands_along(agent: Agent, guest: Vm, way: str) -> None:
    client = Client(agent.socket)
    number = client.start(guest, "sh", "-c", f"python3 -c '{DAEMON}' & echo $$; sleep 3600")
    pids = [int(word) for word in client.read_until(number, b"\n").split()]
    while len(pids) < 2:
        client.receive()
        pids = [int(word) for word in client.said(number).split()]
    match way:
        case "close":
            client.close()
        case "end_writing":
            client.end_writing()
        case "cancel":
            client.notify("exec.cancel", id=number)
            assert client.finish(number).code == 137
    for pid in pids:
        wait_until_gone(pid)
    client.close()
    assert agent.exec(guest, "true").code == 0


def test_a_daemon_that_a_command_leaves_lives_on(agent: Agent, guest: Vm) -> None:
    pid = int(agent.exec(guest, "python3", "-c", DAEMON).stdout)
    assert not ended(pid)
    # It is the VM's: an exec of another client is none of its business, the end of the VM is.
    assert agent.exec(guest, "true").code == 0
    assert not ended(pid)
    agent.unplug(agent.vifs()[0]["port_id"])
    wait_until_gone(pid)


def test_a_daemon_that_keeps_the_output_open_is_not_waited_for(agent: Agent, guest: Vm) -> None:
    done = agent.exec(guest, "sh", "-c", "sleep 3600 & echo done", timeout_s=20.0)
    assert (done.code, done.stdout) == (0, "done\n")


def test_a_daemon_that_goes_on_writing_is_not_waited_for(agent: Agent, guest: Vm) -> None:
    done = agent.exec(guest, "sh", "-c", "yes & echo done >&2", timeout_s=20.0)
    assert (done.code, done.stderr) == (0, "done\n")


def test_a_terminal_is_one(client: Client, guest: Vm) -> None:
    tty = {"rows": 30, "cols": 100, "term": "vt100"}
    script = "tty; stty size; echo $TERM; read line; stty size; exit 3"
    number = client.start(guest, "sh", "-c", script, tty=tty, stdin=True)
    said = client.read_until(number, b"vt100\r\n").decode()
    assert said.startswith("/dev/pts/")
    assert "30 100\r\nvt100\r\n" in said
    client.notify("exec.resize", id=number, rows=50, cols=120)
    client.send_input(number, b"\n")
    done = client.finish(number)
    assert done.code == 3
    assert done.stdout.endswith("50 120\r\n")


def test_a_terminal_passes_control_characters_on(client: Client, guest: Vm) -> None:
    tty = {"rows": 24, "cols": 80, "term": "xterm"}
    script = "trap 'echo caught; exit 7' INT; echo ready; sleep 3600 & wait"
    number = client.start(guest, "sh", "-c", script, tty=tty, stdin=True)
    client.read_until(number, b"ready")
    client.send_input(number, b"\x03")
    done = client.finish(number)
    assert done.code == 7
    assert done.stdout.endswith("caught\r\n")


def test_the_end_of_input_is_control_d_in_a_terminal(client: Client, guest: Vm) -> None:
    number = client.start(guest, "cat", tty={"rows": 24, "cols": 80, "term": "xterm"}, stdin=True)
    client.send_input(number, b"line\n")
    client.read_until(number, b"line\r\nline\r\n")
    client.send_input(number, b"")
    assert client.finish(number).code == 0


def test_a_port_that_is_not_there_is_not_found(client: Client) -> None:
    with pytest.raises(RefusedError) as refused:
        client.call("exec", port_id=make_vif().port_id, argv=["true"])
    assert refused.value.type == "NotFoundError"


def test_the_end_of_a_vm_ends_its_commands(agent: Agent, client: Client, vm: Vm) -> None:
    vif = make_vif()
    agent.plug(vif, vm)
    number = client.start(vm, "sh", "-c", "echo ready; sleep 3600")
    client.read_until(number, b"ready")
    agent.unplug(vif.port_id)
    assert client.finish(number).code == 137


def _flood(client: Client, number: int) -> None:
    for _ in range(10_000):
        client.send_input(number, b"x" * 48_000)


def _is_sleeping(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "S"


def wait_until_gone(pid: int, *, timeout: float = 20.0) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        wait_until_ended(handle, timeout=timeout)
    finally:
        os.close(handle)
