"""An agent's process, and a client on its socket."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fakevm.model import Vif, Vm

_TIMEOUT = 20.0


class RefusedError(Exception):
    """The agent answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.type: str = error.get("data", {}).get("type", "")
        self.hint: str = error.get("data", {}).get("hint", "")


class Agent:
    """A fakevm-agent that a test starts, ends and asks."""

    def __init__(self, folder: Path, connection: str, **options: object) -> None:
        self.socket = folder / "agent.sock"
        self.state = folder / "vms"
        self._log = folder / "agent.log"
        self._config = folder / "agent.conf"
        lines = {
            "socket_path": self.socket,
            "state_path": self.state,
            "ovsdb_connection": connection,
            # Nobody answers there; a test that has a Neutron says so.
            "neutron_url": "http://127.0.0.1:9",
            "neutron_timeout": 0.2,
            **options,
        }
        text = "[DEFAULT]\nhost = tester\n[fakevm]\n"
        self._config.write_text(text + "".join(f"{k} = {v}\n" for k, v in lines.items()))
        self._process: subprocess.Popen[str] | None = None

    def start(self, *, until: str = "ready", environment: Mapping[str, str] | None = None) -> None:
        with self._log.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fakevm_agent", "--config-file", str(self._config)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **(environment or {})},
            )
        self.wait_until_said(until)

    def wait_until_said(self, word: str) -> None:
        """Read the agent's log until a line ends with this word."""
        assert self._process
        assert self._process.stdout
        for line in self._process.stdout:
            with self._log.open("a") as log:
                log.write(line)
            if line.rstrip().endswith(word):
                return
        raise AssertionError(f"the agent ended: {self._log.read_text()}")

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self._process
        self._process.send_signal(number)
        code = self._process.wait(timeout=_TIMEOUT)
        if self._process.stdout:
            with self._log.open("a") as log:
                log.write(self._process.stdout.read())
            self._process.stdout.close()
        self._process = None
        return code

    def log(self) -> str:
        return self._log.read_text()

    def call(self, method: str, **params: Any) -> Any:
        with Client(self.socket) as client:
            return client.call(method, **params)

    def plug(self, vif: Vif, vm: Vm) -> dict[str, Any]:
        found: dict[str, Any] = self.call("plug", vif=asdict(vif), vm=asdict(vm))
        return found

    def unplug(self, port_id: str) -> bool:
        return bool(self.call("unplug", port_id=port_id)["changed"])

    def vifs(self, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("list", **params)["vifs"]
        return found

    def exec(self, vm: Vm, *argv: str, stdin: bytes | None = None, **params: Any) -> Done:
        with Client(self.socket) as client:
            number = client.start(vm, *argv, stdin=stdin is not None, **params)
            if stdin is not None:
                client.send_input(number, stdin)
                client.send_input(number, b"")
            return client.finish(number)


@dataclass
class Done:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str


class Client:
    """A stream to the agent; several requests may be under way on it."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_TIMEOUT)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")
        self._next = 0
        self._answers: dict[Any, dict[str, Any]] = {}
        # By request, stream, and VM where it is for several.
        self._output: dict[tuple[int, str, str], bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def set_timeout(self, seconds: float) -> None:
        self._socket.settimeout(seconds)

    def end_writing(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def call(self, method: str, **params: Any) -> Any:
        return self.answer(self.request(method, **params))

    def request(self, method: str, **params: Any) -> int:
        self._next += 1
        self.send({"jsonrpc": "2.0", "id": self._next, "method": method, "params": params})
        return self._next

    def notify(self, method: str, **params: Any) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def send(self, message: object) -> None:
        self.send_raw(json.dumps(message).encode() + b"\n")

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def start(self, vm: Vm, *argv: str, **params: Any) -> int:
        return self.request("exec", port_id=self.port_of(vm), argv=list(argv), **params)

    def port_of(self, vm: Vm) -> str:
        """Return the id of a port that a VM has here."""
        there = {found["instance_id"]: found["port_ids"] for found in self.call("vms")["vms"]}
        return str(there[vm.instance_id][0])

    def start_each(self, vms: Sequence[Vm], *argv: str, **params: Any) -> int:
        instance_ids = [vm.instance_id for vm in vms]
        return self.request("exec_each", instance_ids=instance_ids, argv=list(argv), **params)

    def send_input(self, number: int, data: bytes) -> None:
        self.notify("exec.stdin", id=number, data=base64.b64encode(data).decode())

    def finish(self, number: int) -> Done:
        return self._done(number, self.answer(number))

    def finish_each(self, number: int, vms: Sequence[Vm]) -> list[Done | RefusedError]:
        """Return what came of a command in these VMs, of which it is all that is answered."""
        ends = self.answer(number)["ends"]
        assert sorted(ends) == sorted(vm.instance_id for vm in vms)
        return [
            RefusedError(end["error"]) if "error" in end else self._done(number, end, vm)
            for vm in vms
            for end in (ends[vm.instance_id],)
        ]

    def said(self, number: int, stream: str = "stdout", vm: Vm | None = None) -> str:
        """Return what a command has said so far, in this VM if it runs in several."""
        return self._output.get((number, stream, vm.instance_id if vm else ""), b"").decode()

    def _done(self, number: int, end: Mapping[str, Any], vm: Vm | None = None) -> Done:
        stdout, stderr = (self.said(number, stream, vm) for stream in ("stdout", "stderr"))
        return Done(code=end["exit_code"], stdout=stdout, stderr=stderr)

    def answer(self, number: int | str | None) -> Any:
        while number not in self._answers:
            self.receive()
        message = self._answers.pop(number)
        if "error" in message:
            raise RefusedError(message["error"])
        return message["result"]

    def read_until(self, number: int, words: bytes) -> bytes:
        """Receive until a command has said these words; return all that it has said."""
        key = number, "stdout", ""
        while words not in self._output.get(key, b""):
            assert number not in self._answers, "the command ended"
            self.receive()
        return self._output[key]

    def receive(self) -> None:
        line = self._file.readline()
        assert line, "the agent closed the stream"
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        if message.get("method") == "exec.output":
            params = message["params"]
            key = params["id"], params["stream"], params.get("instance_id", "")
            data = base64.b64decode(params["data"])
            assert len(data) <= 48 * 1024
            self._output[key] = self._output.get(key, b"") + data
        else:
            self._answers[message["id"]] = message

    def at_end(self) -> bool:
        """Tell whether the agent has closed the stream."""
        return self._file.readline() == b""


def ended(pid: int) -> bool:
    """Tell whether a process is gone; a zombie that nobody reaps is."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def memory_kib(pid: int) -> int:
    """Return what a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


assert os.geteuid() == 0, "functional tests make network namespaces: run them as root"
