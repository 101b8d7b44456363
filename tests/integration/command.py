"""Runs `fakevm` as a user does: a process with its output and its exit code."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.waiting import wait_until

# More than any command needs on a slow machine; a command that hangs fails its test, not the run.
TIMEOUT_S = 240


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a finished command said."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        return json.loads(self.stdout)

    def __str__(self) -> str:
        return (
            f"$ {shlex.join(self.argv)}\nexit code {self.exit_code}\n"
            f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"
        )


@dataclass(frozen=True, kw_only=True)
class Fakevm:
    """The `fakevm` command, pointed at one lab by its environment."""

    lab: str
    executable: Path = field(default_factory=lambda: Path(sys.executable).with_name("fakevm"))
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**os.environ, "FAKEVM_LAB": self.lab, **self.env, **(env or {})}

    def run(
        self,
        *args: str,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Result:
        """Run to the end, whatever the exit code."""
        argv = (str(self.executable), *args)
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=self.environment(env),
            cwd=self.cwd,
            check=False,
        )
        return Result(argv=argv, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def ok(
        self,
        *args: str,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> str:
        """Run, expect success, return stdout."""
        result = self.run(*args, stdin=stdin, env=env, timeout_s=timeout_s)
        assert result.exit_code == 0, f"{result}"
        return result.stdout

    def json(self, command: str, *args: str) -> Any:
        """Run a command with `-f json`, expect success, return what it printed."""
        return json.loads(self.ok(command, "-f", "json", *args))

    def fails(self, exit_code: int, *args: str, env: Mapping[str, str] | None = None) -> str:
        """Run, expect this exit code and an error without a traceback, return stderr."""
        result = self.run(*args, env=env)
        assert result.exit_code == exit_code, f"{result}"
        assert result.stderr.strip(), f"an error says nothing: {result}"
        assert "Traceback" not in result.stderr, f"{result}"
        return result.stderr

    def start(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start and leave running, in a process group of its own as from a terminal."""
        return subprocess.Popen(
            (str(self.executable), *args),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(env),
            cwd=self.cwd,
            start_new_session=True,
        )


def interrupt_when(process: subprocess.Popen[str], what: str, seen: Callable[[], object]) -> None:
    """Press Ctrl-C as soon as a step is seen, or find the command ended; wait for its end."""
    try:
        wait_until(what, lambda: seen() or process.poll() is not None, interval_s=0.01)
    finally:
        process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode in (0, 130), stderr
    assert "Traceback" not in stderr, stderr
