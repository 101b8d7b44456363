from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakevm.clients import process
from fakevm.clients.process import ProcessStream
from fakevm.errors import ConflictError, FakevmError, UnavailableError, WaitTimeoutError
from fakevm.protocol import lock
from fakevm.protocol.interrupt import ENDS, Terminated, deferred, raise_on_sigterm
from fakevm.protocol.lock import exclusive


def test_a_program_s_output_is_returned() -> None:
    assert process.run(("cat",), stdin="день\n") == "день\n"


def test_words_are_not_interpreted() -> None:
    assert process.run(("echo", "$HOME; `id` *")) == "$HOME; `id` *\n"


def test_a_failure_shows_the_command_ready_to_paste_and_its_output() -> None:
    with pytest.raises(FakevmError, match="ls '/no such'") as caught:
        process.run(("ls", "/no such"))
    assert "exit code" in str(caught.value)
    assert "No such file" in str(caught.value)


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(UnavailableError, match="no-such-program can't be run"):
        process.run(("no-such-program",))
    with pytest.raises(UnavailableError, match="no-such-program"):
        ProcessStream(("no-such-program",))
    with pytest.raises(UnavailableError, match="no-such-program"):
        process.replace(("no-such-program",))


def test_a_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    script = f"trap 'touch {ended}; exit 1' INT; while :; do sleep 0.05; done"
    with pytest.raises(WaitTimeoutError, match=r"0\.3 s"):
        process.run(("sh", "-c", script), timeout_s=0.3, wait_s=0.1)
    assert ended.exists()


def test_an_interrupt_ends_the_program_in_order(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    script = f"trap 'touch {ended}; exit 1' INT; while :; do sleep 0.05; done"
    with pytest.raises(KeyboardInterrupt):
        process.run(
            ("sh", "-c", script),
            wait_s=0.2,
            on_wait=lambda: os.kill(os.getpid(), signal.SIGINT),
        )
    assert ended.exists()


def test_the_program_s_children_are_ended_in_order_too(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    child = f"trap 'touch {ended}; exit 1' INT; while :; do sleep 0.05; done"
    with pytest.raises(WaitTimeoutError):
        process.run(("sh", "-c", 'sh -c "$0"; true', child), timeout_s=0.3, wait_s=0.1)
    assert ended.exists()


def test_what_waits_is_called_meanwhile() -> None:
    calls: list[float] = []
    process.run(("sleep", "0.3"), wait_s=0.05, on_wait=lambda: calls.append(time.monotonic()))
    assert len(calls) >= 2


def test_a_stream_is_the_program_s_stdin_and_stdout() -> None:
    stream = ProcessStream(("cat",))
    stream.write(b"one\n")
    assert stream.read() == b"one\n"
    stream.close()


def test_a_stream_that_ended_says_why() -> None:
    stream = ProcessStream(("sh", "-c", "echo 'it is gone' >&2"))
    assert stream.read() == b""
    assert stream.complaint == "it is gone"
    stream.close()


def test_an_interrupt_waits_for_the_end_of_what_must_not_be_cut() -> None:
    done = []

    def work() -> None:
        with deferred():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("all")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all"]


def test_an_interrupt_that_comes_too_late_is_dropped() -> None:
    with deferred(forget=True):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def _own_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_own_signals")
@pytest.mark.parametrize("number", ENDS)
def test_sigterm_and_sighup_unwind_and_are_held_back_too(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise_on_sigterm()
    done = []

    def work() -> None:
        with deferred():
            os.kill(os.getpid(), number)
            done.append("all")

    with pytest.raises(Terminated):
        work()
    assert done == ["all"]


@pytest.mark.usefixtures("_own_signals")
def test_a_hangup_that_nohup_lets_ignore_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise_on_sigterm()
    with deferred():
        os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)


def test_in_another_thread_no_signal_is_waited_for() -> None:
    done = []

    def work() -> None:
        with deferred():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]


def test_a_lock_is_held_once_and_freed_at_the_end() -> None:
    name = f"test/{os.getpid()}"
    with (
        exclusive(name, busy="it is taken"),
        pytest.raises(ConflictError, match="it is taken") as caught,
        exclusive(name, busy="it is taken"),
    ):
        pass
    assert "fakevm status" in caught.value.hint
    with exclusive(name, busy="it is taken"):
        pass


def test_a_lock_s_name_may_be_long() -> None:
    with exclusive("x" * 300, busy=""), exclusive("x" * 301, busy=""):
        pass


def test_a_lock_that_cannot_be_had_is_not_called_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(socket.socket):
        def bind(self, _address: object) -> None:
            raise OSError(errno.ENOBUFS, "No buffer space available")

    monkeypatch.setattr(socket, "socket", Refused)
    with (
        pytest.raises(FakevmError, match="No buffer space") as caught,
        exclusive("test", busy="it is taken"),
    ):
        pass
    assert not isinstance(caught.value, ConflictError)


def test_a_lock_ends_with_the_process_that_holds_it() -> None:
    name = f"test/killed/{os.getpid()}"
    script = (
        f"import time\nfrom fakevm.protocol import lock\nlock.PREFIX = {lock.PREFIX!r}\n"
        f"with lock.exclusive({name!r}, busy=''):\n"
        "    print('held', flush=True)\n    time.sleep(60)"
    )
    holder = ProcessStream((sys.executable, "-c", script))
    assert holder.read().startswith(b"held")
    with pytest.raises(ConflictError), exclusive(name, busy="taken"):
        pass
    holder.close()
    with exclusive(name, busy="taken"):
        pass
