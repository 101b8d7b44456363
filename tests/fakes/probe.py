"""fakevm-probe without sockets, whose ends pass packets on to each other; and the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from threading import Event
from typing import IO, Any

from tests.fakes.host import Program

# How often it looks around, and how often it prints.
TICK_S = 0.002
PRINT_S = 0.02


class FakeNet:
    """Where the ends find each other. The VM is on one host; a prober is where it is."""

    def __init__(self, *, vm_on: str) -> None:
        # "": it is paused.
        self.vm_on = vm_on
        # Flows of which nothing gets through.
        self.dropped: set[str] = set()
        # Nothing gets through.
        self.silent = False
        # How many ends run; what the program says on stderr instead of running.
        self.running = 0
        self.refusal = ""
        # Ends on these hosts go on when they are told to stop.
        self.stubborn: set[str] = set()
        self._lock = threading.Lock()
        self._receivers: dict[str, list[_End]] = defaultdict(list)

    def program(self, host: str, *, vm: bool = False) -> Program:
        """Return the program as it runs in the VM, or in a prober, on a host."""

        def run(stdin: bytearray, write: Callable[[str, bytes], None], end: Event) -> int:
            if self.refusal:
                write("stderr", self.refusal.encode())
                return 2
            with self._lock:
                self.running += 1
            try:
                return _End(self, host if vm else None, write, stubborn=host in self.stubborn).run(
                    stdin, end
                )
            finally:
                with self._lock:
                    self.running -= 1

        return run

    def up(self, host: str | None) -> bool:
        """Return whether an end has its NIC up."""
        return host in (None, self.vm_on)

    def drops(self, flow: str) -> bool:
        """Return whether nothing of a flow gets through."""
        return self.silent or flow in self.dropped

    def listen(self, flow: str, end: _End) -> None:
        with self._lock:
            self._receivers[flow].append(end)

    def pass_on(self, flow: str, seq: int) -> None:
        with self._lock:
            receivers = list(self._receivers[flow])
        for end in receivers:
            if self.up(end.host) and not self.drops(flow):
                end.tell(flow, "received", seq)


def real_program(stdin: bytearray, write: Callable[[str, bytes], None], end: Event) -> int:
    """Be the real program, here instead of in a VM."""
    command = [sys.executable, "-m", "fakevm_agent.probe"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        readers = [
            threading.Thread(target=_pass_on, args=(pipe, name, write))
            for pipe, name in ((process.stdout, "stdout"), (process.stderr, "stderr"))
        ]
        for reader in readers:
            reader.start()
        given = 0
        while process.poll() is None:
            if end.wait(TICK_S):
                process.terminate()
            if data := bytes(stdin[given:]):
                given += len(data)
                with suppress(BrokenPipeError):
                    process.stdin.write(data)
                    process.stdin.flush()
        for reader in readers:
            reader.join()
        return process.returncode


def _pass_on(pipe: IO[bytes], name: str, write: Callable[[str, bytes], None]) -> None:
    while data := os.read(pipe.fileno(), 65536):
        write(name, data)


class _End:
    def __init__(
        self,
        net: FakeNet,
        host: str | None,
        write: Callable[[str, bytes], None],
        *,
        stubborn: bool,
    ) -> None:
        self.host = host
        self._net = net
        self._write = write
        self._stubborn = stubborn
        self._lock = threading.Lock()
        self._told: dict[tuple[str, str], list[list[float]]] = {}
        self._sending: dict[str, dict[str, Any]] = {}
        self._next: dict[str, int] = {}

    def tell(self, flow: str, what: str, seq: int) -> None:
        with self._lock:
            self._told[flow, what].append([seq, time.time(), 0])

    def run(self, stdin: bytearray, ended: Event) -> int:
        """Do as the lines say, until told to stop or cut off; return the exit code."""
        read = 0
        printed = time.monotonic()
        while not ended.wait(TICK_S):
            *lines, _rest = bytes(stdin[read:]).split(b"\n")
            read += sum(len(line) + 1 for line in lines)
            for order in map(json.loads, lines):
                if order.get("stop"):
                    if self._stubborn:
                        continue
                    self._print()
                    self._write("stdout", b'{"end": true}\n')
                    return 0
                self._begin(order)
            for flow in self._sending:
                self._send(flow)
            if time.monotonic() - printed > PRINT_S:
                self._print()
                printed = time.monotonic()
        return 143

    def _begin(self, order: dict[str, Any]) -> None:
        keys = {"flow", "role", "kind", "address", "port", "rate", "t0", "run"}
        assert order.keys() == keys, f"no such order: {order}"
        flow, role = order["flow"], order["role"]
        assert (role, order["kind"]) in (("send", "udp"), ("receive", "udp"), ("ping", "icmp"))
        with self._lock:
            self._told[flow, "received" if role == "receive" else "sent"] = []
            if role == "ping":
                self._told[flow, "received"] = []
        if role == "receive":
            self._net.listen(flow, self)
        else:
            self._sending[flow] = order
        # At once, so that it is known that its socket is open.
        self._print()

    def _send(self, flow: str) -> None:
        order = self._sending[flow]
        slot = int((time.time() - order["t0"]) * order["rate"])
        if slot < self._next.get(flow, slot) or not self._net.up(self.host):
            return
        self._next[flow] = slot + 1
        self.tell(flow, "sent", slot)
        if order["role"] == "send":
            self._net.pass_on(flow, slot)
        elif self._net.vm_on and not self._net.drops(flow):
            self.tell(flow, "received", slot)

    def _print(self) -> None:
        with self._lock:
            told = {key: list(records) for key, records in self._told.items()}
            for records in self._told.values():
                records.clear()
        lines = (
            json.dumps({"flow": flow, what: records}) for (flow, what), records in told.items()
        )
        self._write("stdout", "".join(f"{line}\n" for line in lines).encode())
