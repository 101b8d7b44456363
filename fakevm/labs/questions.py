"""Commands that are run again and again in containers, by one shell in each."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from typing import Self

from fakevm.clients.containers import Container
from fakevm.clients.process import Inside, inside
from fakevm.errors import UnavailableError

# Runs a line, says what it said and its exit code, waits for the next one.
_SHELL = r"""while IFS= read -r line; do eval "$line" </dev/null 2>&1; printf '\0%s\0' $?; done"""


class Questions:
    """Shells in containers, started when they are needed. Use it in a `with` block."""

    def __init__(
        self, *, timeout_s: float, start: Callable[[str, Sequence[str]], Inside] = inside
    ) -> None:
        self._timeout_s = timeout_s
        self._start = start
        self._shells: dict[str, Inside] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for shell in self._shells.values():
            shell.close()
        self._shells.clear()

    def ask(self, container: Container, argv: Sequence[str]) -> str:
        """Run a command; return what it says. UnavailableError: it failed, or nobody answers."""
        shell = self._shells.pop(container.id, None)
        if shell is None:
            shell = self._start(container.name, ("sh", "-c", _SHELL))
        try:
            shell.write(f"{shlex.join(argv)}\n".encode())
            said, code, _ = self._answer(shell).split(b"\0")
        except (OSError, ValueError) as error:
            # It does not come back to what is there: the next question has a shell of its own.
            shell.close()
            raise UnavailableError(f"{container.service}: {argv[0]} does not answer") from error
        self._shells[container.id] = shell
        words = said.decode(errors="replace")
        if code != b"0":
            raise UnavailableError(f"{container.service}: {argv[0]}: {words.strip()}")
        return words

    def _answer(self, shell: Inside) -> bytes:
        """Return what is said up to the exit code; less, where it ends or takes too long."""
        said = b""
        deadline = time.monotonic() + self._timeout_s
        while said.count(b"\0") < 2 and shell.readable(deadline - time.monotonic()):
            piece = shell.read()
            if not piece:
                break
            said += piece
        return said
