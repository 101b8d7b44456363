"""Our stdin, stdout and terminal, joined to a command in a VM."""

from __future__ import annotations

import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from fakevm import clients, display
from fakevm.errors import ConfigError, FakevmError

if TYPE_CHECKING:
    from fakevm.clients.agents import Execution, Terminal


def interactive() -> bool:
    """Tell whether our stdin is a terminal."""
    return sys.stdin.isatty()


def pass_output(execution: Execution) -> None:
    """Write what the command says, as it comes, to its end."""
    for stream, data in execution.output():
        out = sys.stdout if stream == "stdout" else sys.stderr
        out.buffer.write(data)
        out.buffer.flush()


def show_result(execution: Execution, form: str) -> None:
    """Print what the command said and its exit code, at its end."""
    said = {"stdout": b"", "stderr": b""}
    for stream, data in execution.output():
        said[stream] += data
    texts = {name: data.decode(errors="replace") for name, data in said.items()}
    display.output.show({"exit_code": execution.exit_code, **texts}, form)


def pass_stdin(execution: Execution) -> None:
    """Send our stdin to the command, in the background, as long as it runs."""

    def pump() -> None:
        # The command may have ended, or the host with it: that is told where its output is read.
        with suppress(FakevmError, OSError):
            while data := os.read(sys.stdin.fileno(), 65536):
                execution.send(data)
            execution.send(b"")

    threading.Thread(target=pump, name="stdin", daemon=True).start()


def size() -> Terminal:
    """Return the terminal's size and kind."""
    if not interactive():
        raise ConfigError("a shell needs a terminal", hint="fakevm exec VIF COMMAND")
    columns, rows = os.get_terminal_size(sys.stdin.fileno())
    # A terminal that does not know its size says 0.
    return clients.agents.Terminal(
        rows=rows or 24, cols=columns or 80, term=os.environ.get("TERM") or "dumb"
    )


@contextmanager
def raw(execution: Execution) -> Iterator[None]:
    """Leave every key to the command in the VM, and tell it when the terminal's size changes."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def resized(_signal: int, _frame: object) -> None:
        now = size()
        with suppress(FakevmError):
            execution.resize(now.rows, now.cols)

    handler = signal.signal(signal.SIGWINCH, resized)
    tty.setraw(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)
