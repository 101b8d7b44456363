"""Two ways into a host over a kept-open stream: the agent's JSON-RPC, and a shell."""

from __future__ import annotations

import itertools
import json
import subprocess
from types import TracebackType
from typing import Any, Self

from fakevm.names import AGENT_SOCKET


class Stream:
    """A process in a host, spoken to by lines."""

    def __init__(self, container: str, *argv: str) -> None:
        self._process = subprocess.Popen(
            ("docker", "exec", "-i", container, *argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def send(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def receive(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} has ended")
        return line.rstrip("\n")


class Agent(Stream):
    """The agent of a host, one request at a time."""

    def __init__(self, container: str) -> None:
        super().__init__(container, "socat", "-", f"UNIX-CONNECT:{AGENT_SOCKET}")
        self._ids = itertools.count(1)

    def call(self, method: str, **params: object) -> Any:
        number = next(self._ids)
        self.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.receive())
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]


class Shell(Stream):
    """A shell in a host, that runs a script and says when it is done."""

    DONE = "-- done --"

    def __init__(self, container: str) -> None:
        super().__init__(container, "bash", "-eu")

    def run(self, script: str) -> None:
        """Run to the end; a command that fails ends the shell, which the next read tells."""
        self.send(f"{{ {script}\n}} >/dev/null\necho '{self.DONE}'")
        while self.receive() != self.DONE:
            pass
