"""An Open vSwitch of the tests' own, in a folder, with the userspace datapath."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
BRIDGE = "br-int"
_TIMEOUT = 30


class OpenVSwitch:
    """An ovsdb-server and an ovs-vswitchd; each can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.connection = f"unix:{folder}/db.sock"
        run("ovsdb-tool", "create", f"{folder}/conf.db", str(SCHEMA))

    def start(self) -> None:
        self.start_database()
        self.vsctl("--no-wait", "init")
        self.start_vswitchd()
        self.vsctl(
            *("add-br", BRIDGE, "--", "set", "bridge", BRIDGE),
            *("datapath_type=netdev", "fail_mode=standalone"),
        )

    def stop(self) -> None:
        self.stop_vswitchd()
        self.stop_database()

    def start_database(self) -> None:
        # Detached, so that it returns when it serves.
        self._daemon("ovsdb-server", f"{self._folder}/conf.db", f"--remote=p{self.connection}")

    def stop_database(self) -> None:
        self._end("ovsdb-server")

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """Let the database be away during the block."""
        self.stop_database()
        try:
            yield
        finally:
            self.start_database()

    def start_vswitchd(self) -> None:
        self._daemon("ovs-vswitchd", self.connection, "--disable-system")

    def stop_vswitchd(self) -> None:
        self._end("ovs-vswitchd")

    def pid(self, daemon: str) -> int:
        return int((self._folder / f"{daemon}.pid").read_text())

    def vsctl(self, *arguments: str) -> str:
        return run("ovs-vsctl", f"--db={self.connection}", "--timeout=20", *arguments)

    def settle(self) -> None:
        """Wait until ovs-vswitchd has done all that the database says by now."""
        # ovs-vsctl waits for that after a change.
        self.vsctl("set", "Open_vSwitch", ".", f"external_ids:settled={uuid.uuid4()}")

    def interfaces(self) -> dict[str, dict[str, Any]]:
        """Return the Interface table by name, as ovs-vsctl tells it."""
        return {row["name"]: row for row in self._table("Interface")}

    def ports(self) -> list[str]:
        return self.vsctl("list-ports", BRIDGE).split()

    def _table(self, name: str) -> list[dict[str, Any]]:
        found = json.loads(self.vsctl("--format=json", "list", name))
        return [
            dict(zip(found["headings"], map(_plain, row), strict=True)) for row in found["data"]
        ]

    def _daemon(self, *command: str) -> None:
        name = command[0]
        run(
            *command,
            "--detach",
            "--no-chdir",
            f"--pidfile={self._folder}/{name}.pid",
            f"--log-file={self._folder}/{name}.log",
            f"--unixctl={self._folder}/{name}.ctl",
        )

    def _end(self, name: str) -> None:
        pid = self.pid(name)
        handle = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGTERM)
            wait_until_ended(handle)
        finally:
            os.close(handle)
        (self._folder / f"{name}.pid").unlink(missing_ok=True)


def wait_until_ended(pidfd: int, *, timeout: float = _TIMEOUT) -> None:
    # Readable when the process has ended.
    if not select.select([pidfd], [], [], timeout)[0]:
        raise AssertionError(f"a process has not ended within {timeout} s")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def _plain(value: Any) -> Any:
    """Return OVSDB's JSON as plain values: a set as a list, a map as a dict."""
    match value:
        case ["set", values]:
            return values
        case ["map", pairs]:
            return dict(pairs)
        case _:
            return value
