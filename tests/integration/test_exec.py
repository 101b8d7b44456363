"""Commands in VMs: their streams, their exit codes, and their end."""

from __future__ import annotations

import signal
import subprocess
from functools import partial

import pytest

from tests.integration.cloud import Guest
from tests.integration.lab import Lab
from tests.waiting import wait_until

Pair = tuple[Guest, Guest]


def test_one_string_or_words(lab: Lab, pair: Pair) -> None:
    vif = pair[0].port_id
    one = lab.fakevm.ok("exec", vif, "ip -o link show eth0")
    assert one == lab.fakevm.ok("exec", vif, "--", "ip", "-o", "link", "show", "eth0")
    assert pair[0].mac_address in one


def test_words_are_never_interpreted(lab: Lab, pair: Pair) -> None:
    words = ("$HOME", "`id`", "a  b", "*", "; exit 3", "", "'", "[red]x[/]", "день", "-n")
    out = lab.fakevm.ok("exec", pair[0].port_id, "--", "printf", "%s\\n", *words)
    assert out == "".join(f"{word}\n" for word in words)


def test_the_exit_code_is_the_command_s(lab: Lab, pair: Pair) -> None:
    vif = pair[0].port_id
    for code in (0, 1, 42, 255):
        assert lab.fakevm.run("exec", vif, "--", "sh", "-c", f"exit {code}").exit_code == code
    killed = lab.fakevm.run("exec", vif, "--", "sh", "-c", "kill -TERM $$")
    assert killed.exit_code == 128 + signal.SIGTERM
    missing = lab.fakevm.run("exec", vif, "no-such-command")
    assert missing.exit_code not in (0, 130)
    assert "no-such-command" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_stdout_and_stderr_stay_apart(lab: Lab, pair: Pair) -> None:
    result = lab.fakevm.run("exec", pair[0].port_id, "--", "sh", "-c", "echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_output_comes_before_the_end(lab: Lab, pair: Pair) -> None:
    script = "echo started; read -r word; echo $word"
    process = subprocess.Popen(
        (lab.fakevm.executable, "exec", pair[0].port_id, "--", "sh", "-c", script),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=lab.fakevm.environment(),
    )
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    process.stdin.write("answer\n")
    process.stdin.close()
    assert process.stdout.read() == "answer\n"
    assert process.wait(timeout=30) == 0


def test_stdin_and_big_output_pass_through_whole(lab: Lab, pair: Pair) -> None:
    text = "".join(f"{n:08d} ÿ line\n" for n in range(200_000))
    assert lab.fakevm.ok("exec", pair[0].port_id, "cat", stdin=text) == text
    assert lab.fakevm.ok("exec", pair[0].port_id, "cat", stdin="") == ""


def test_a_timeout_ends_the_command_and_its_children(lab: Lab, pair: Pair) -> None:
    vif, host = pair[0].port_id, pair[0].host
    # One child in the foreground, one in a session of its own that nobody waits for.
    script = "setsid sleep 98761 </dev/null >/dev/null 2>&1 & sleep 98762"
    error = lab.fakevm.fails(6, "exec", "--timeout", "2", vif, "--", "sh", "-c", script)
    assert "2" in error
    wait_until("the children's end", lambda: not host.processes("sleep 9876"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_client_that_goes_away_ends_its_command(
    lab: Lab, pair: Pair, how: signal.Signals
) -> None:
    sleeps = partial(pair[0].host.processes, f"sleep 987{how:02d}")
    script = f"setsid sleep 987{how:02d}1 & sleep 987{how:02d}2"
    process = lab.fakevm.start("exec", pair[0].port_id, "--", "sh", "-c", script)
    wait_until("both commands", lambda: len(sleeps()) >= 2)
    process.send_signal(how)
    process.communicate(timeout=30)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}[how]
    wait_until("their end", lambda: not sleeps())


def test_many_at_once_do_not_mix(lab: Lab, pair: Pair) -> None:
    processes = [
        lab.fakevm.start("exec", guest.port_id, "--", "seq", str(n * 1000), str(n * 1000 + 999))
        for n, guest in enumerate(pair * 4)
    ]
    for n, process in enumerate(processes):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out == "".join(f"{number}\n" for number in range(n * 1000, n * 1000 + 1000))


def test_the_vm_sees_its_own_network_alone(lab: Lab, pair: Pair) -> None:
    out = pair[0].exec("ls", "/sys/class/net").split()
    assert sorted(set(out) & {"eth0", "eth1", "lo", "br-int"}) == ["eth0", "lo"]
