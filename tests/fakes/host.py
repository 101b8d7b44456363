"""A compute host's agent without a host: it keeps what is plugged, and speaks the protocol."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fakevm.clients.agents import guest_state
from fakevm.errors import (
    ConflictError,
    FakevmError,
    NotFoundError,
    UnavailableError,
    WaitTimeoutError,
)
from fakevm.model import (
    FixedIp,
    GuestNic,
    GuestState,
    HostInfo,
    PluggedVif,
    PluggedVm,
    Vif,
    Vm,
)

# A program: its stdin so far, a way to print on stdout and stderr, and its end; its exit code.
Program = Callable[[bytearray, Callable[[str, bytes], None], threading.Event], int]

# The size of a piece of what `flood` says.
FLOOD = 4096

# The longest line that the agent takes (fakevm_agent/server/client.py).
LINE_MAX = 8 * 1024 * 1024


@dataclass
class FakeHost:
    """A host's VIFs by port. What stands in `broken` fails, with this error."""

    name: str
    vifs_by_port: dict[str, PluggedVif] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    # What those had that go on here.
    kept: dict[str, GuestState] = field(default_factory=dict)
    # What runs in each VM.
    processes: dict[int, str] = field(default_factory=dict)
    # Ports that RARP frames were sent of.
    announced: list[str] = field(default_factory=list)
    broken: dict[str, FakevmError] = field(default_factory=dict)
    # Ports that no DHCP server is reached from.
    cut: set[str] = field(default_factory=set)
    # Whether its L2 agent does anything.
    wires: bool = True
    # Called after a plug, with the host's name and the port's id.
    on_plug: Callable[[str, str], None] = lambda _host, _port_id: None
    # Likewise after an unplug.
    on_unplug: Callable[[str, str], None] = lambda _host, _port_id: None
    # Called before a request is carried out, with its method.
    before: Callable[[str], None] = lambda _method: None
    # What is broken on purpose.
    outages: tuple[str, ...] = ()
    calls: list[tuple[str, str]] = field(default_factory=list)

    def info(self) -> HostInfo:
        vms = {vif.instance_id for vif in self.vifs_by_port.values()}
        return HostInfo(
            host=self.name,
            version="0",
            datapath="netdev",
            ovs_version="3.5.0",
            vms=len(vms),
            vifs=len(self.vifs_by_port),
            outages=self.outages,
        )

    def vifs(self, port_id: str | None = None) -> list[PluggedVif]:
        self._begin("list", port_id or "")
        return [
            replace(v, paused=v.port_id in self.paused)
            for v in self.vifs_by_port.values()
            if port_id in (None, v.port_id)
        ]

    def vms(self) -> list[PluggedVm]:
        self._begin("vms", "")
        by_vm: dict[str, list[PluggedVif]] = {}
        for vif in sorted(self.vifs_by_port.values(), key=lambda vif: vif.nic):
            by_vm.setdefault(vif.instance_id, []).append(vif)
        return [
            PluggedVm(
                instance_id=instance_id,
                name=vifs[0].vm_name,
                port_ids=tuple(vif.port_id for vif in vifs),
            )
            for instance_id, vifs in by_vm.items()
        ]

    def plug(
        self, vif: Vif, vm: Vm, *, paused: bool = False, late_tap: bool = False, nic: str = ""
    ) -> bool:
        self._begin("plug", vif.port_id)
        changed = vif.port_id not in self.vifs_by_port
        others = [v for v in self.vifs_by_port.values() if v.instance_id == vm.instance_id]
        static = [f"{i.ip_address}/{i.prefix_len}" for i in vif.fixed_ips if i.method == "static"]
        if paused:
            self.paused.add(vif.port_id)
        if changed:
            self.vifs_by_port[vif.port_id] = PluggedVif(
                port_id=vif.port_id,
                instance_id=vm.instance_id,
                vm_name=vm.name,
                netns=vm.instance_id,
                nic=nic or f"eth{len(others)}",
                device=vif.device,
                mac_address=vif.mac_address,
                mtu=vif.mtu,
                ofport=1,
                addresses=() if paused else tuple(static),
                fixed_ips=vif.fixed_ips,
                preserve_on_delete=vif.preserve_on_delete,
            )
        self._change(vif.port_id, ofport=1, error="", vm_name=vm.name, fixed_ips=vif.fixed_ips)
        self.on_plug(self.name, vif.port_id)
        return changed

    def suspend(self, instance_id: str, *, keep: bool = False) -> GuestState:
        self._begin("suspend", instance_id)
        found = self._ports_of(instance_id)
        if self.paused.issuperset(found):
            raise ConflictError(f"VM {instance_id} is paused")
        addresses = [f"{i} {address}" for i in found for address in self._get(i).addresses]
        for port_id in found:
            self.paused.add(port_id)
            self._change(port_id, addresses=())
        nics = [
            GuestNic(port_id=port_id, nic=self._get(port_id).nic, index=number)
            for number, port_id in enumerate(found, 2)
        ]
        state = GuestState(
            time=time.time(),
            processes=dict(self.processes),
            nics=tuple(nics),
            addresses=tuple(addresses),
        )
        if keep:
            self.kept[instance_id] = state
        return state

    def resume(
        self, instance_id: str, state: GuestState | None = None, *, rarp: bool = True
    ) -> float:
        self._begin("resume", instance_id)
        kept = self.kept.pop(instance_id, None)
        state = state or kept
        for port_id in self._ports_of(instance_id):
            if port_id not in self.paused:
                continue
            self.paused.discard(port_id)
            if state:
                told = [words.split() for words in state.addresses]
                self._change(port_id, addresses=tuple(a for i, a in told if i == port_id))
            else:
                static = [i for i in self._get(port_id).fixed_ips if i.method == "static"]
                self._change(
                    port_id, addresses=tuple(f"{i.ip_address}/{i.prefix_len}" for i in static)
                )
            if rarp:
                self.announced.append(port_id)
        return time.time()

    def configure(self, port_id: str, *, timeout_s: float) -> list[str]:
        self._begin("configure", port_id)
        assert timeout_s > 0
        self._change(port_id, configured=True)
        if port_id in self.cut:
            raise WaitTimeoutError(f"no address after {timeout_s:g} s")
        vif = self._get(port_id)
        wanted = [f"{i.ip_address}/{i.prefix_len}" for i in vif.fixed_ips if i.method != "none"]
        self._change(port_id, addresses=tuple(wanted))
        return wanted

    def unplug(self, port_id: str) -> bool:
        self._begin("unplug", port_id)
        self.paused.discard(port_id)
        changed = self.vifs_by_port.pop(port_id, None) is not None
        self.on_unplug(self.name, port_id)
        return changed

    def cleanup(
        self, keep: Sequence[str], *, dry_run: bool, only: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        self._begin("cleanup", "")
        stale = [
            port_id
            for port_id in self.vifs_by_port
            if port_id not in keep and (only is None or port_id in only)
        ]
        removed = [
            {"kind": "interface", "name": self.vifs_by_port[port_id].device, "port_id": port_id}
            for port_id in stale
        ]
        if not dry_run:
            for port_id in stale:
                del self.vifs_by_port[port_id]
        return removed

    def wire(self, port_id: str) -> bool:
        """Do the L2 agent's work on a port that is plugged; tell whether it is."""
        if port_id in self.vifs_by_port and self.wires:
            self._change(port_id, vlan_tag=1)
        return port_id in self.vifs_by_port and self.wires

    def cut_off(self, port_id: str) -> None:
        """Do the L2 agent's work on a port whose binding was deactivated: delete the OVS port.

        With it goes what the host knows of the VIF but its device.
        """
        if port_id in self.vifs_by_port:
            self.paused.discard(port_id)
            self._change(port_id, ofport=None, vlan_tag=None, error="no OVS port")

    def _begin(self, method: str, port_id: str) -> None:
        self.before(method)
        self.calls.append((method, port_id))
        if method in self.broken:
            raise self.broken[method]

    def _ports_of(self, instance_id: str) -> list[str]:
        found = [i for i, vif in self.vifs_by_port.items() if vif.instance_id == instance_id]
        if not found:
            raise NotFoundError(f"this host has no VM {instance_id}")
        return found

    def _get(self, port_id: str) -> PluggedVif:
        if port_id not in self.vifs_by_port:
            raise NotFoundError(f"port {port_id} is not plugged")
        return self.vifs_by_port[port_id]

    def _change(self, port_id: str, **changes: Any) -> None:
        self.vifs_by_port[port_id] = replace(self._get(port_id), **changes)


class FakeStream:
    """One end of a socket pair, as what carries an agent's messages."""

    def __init__(self, sock: socket.socket, complaint: str = "") -> None:
        self._sock = sock
        self.complaint = complaint

    def read(self) -> bytes:
        try:
            return self._sock.recv(65536)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        self._sock.sendall(data)

    def close(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


class FakeAgent:
    """Serves a FakeHost by JSON-RPC, one thread a request, and commands that tests script."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.inputs: dict[int, bytearray] = {}
        self.ended: dict[int, threading.Event] = {}
        # Programs in the VMs, by name.
        self.programs: dict[str, Program] = {}
        # When all of a `flood` was taken.
        self.flooded = threading.Event()
        self._connections: list[socket.socket] = []
        self._writing = threading.Lock()

    def stream(self) -> FakeStream:
        ours, theirs = socket.socketpair()
        self._connections.append(theirs)
        threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
        return FakeStream(ours)

    def die(self) -> None:
        """End all streams, as when the host stops."""
        for sock in self._connections:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as lines:
            for line in lines:
                if len(line) > LINE_MAX:
                    # As the agent: it can't tell where the next one begins.
                    return
                message = json.loads(line)
                if "id" in message:
                    threading.Thread(target=self._answer, args=(sock, message), daemon=True).start()
                else:
                    self._notice(message)

    def _answer(self, sock: socket.socket, message: dict[str, Any]) -> None:
        assert message["jsonrpc"] == "2.0"
        try:
            result = self._call(sock, message["id"], message["method"], message["params"])
            self._send(sock, {"id": message["id"], "result": result})
        except FakevmError as error:
            self._send(sock, {"id": message["id"], "error": _told(error)})

    def _notice(self, message: dict[str, Any]) -> None:
        params = message["params"]
        match message["method"]:
            case "exec.stdin":
                data = base64.b64decode(params["data"])
                self.inputs.setdefault(params["id"], bytearray()).extend(data)
                if not data:
                    self.ended.setdefault(params["id"], threading.Event()).set()
            case "exec.cancel":
                self.ended.setdefault(params["id"], threading.Event()).set()
            case unknown:
                raise AssertionError(f"no such notification: {unknown}")

    def _call(
        self, sock: socket.socket, request_id: int, method: str, params: dict[str, Any]
    ) -> Any:
        match method:
            case "info":
                return asdict(self.host.info())
            case "list":
                return {"vifs": [asdict(vif) for vif in self.host.vifs(**params)]}
            case "vms":
                return {"vms": [asdict(vm) for vm in self.host.vms()]}
            case "plug":
                vif, vm = _vif(params["vif"]), Vm(**params["vm"])
                options = {k: v for k, v in params.items() if k not in ("vif", "vm")}
                changed = self.host.plug(vif, vm, **options)
                return {**asdict(self.host.vifs_by_port[vif.port_id]), "changed": changed}
            case "suspend":
                return asdict(self.host.suspend(**params))
            case "resume":
                state = params["state"] and guest_state(params["state"])
                return {"time": self.host.resume(**{**params, "state": state})}
            case "configure":
                return {"addresses": self.host.configure(**params)}
            case "unplug":
                return {**params, "changed": self.host.unplug(**params)}
            case "cleanup":
                return {"removed": self.host.cleanup(**params)}
            case "exec":
                return self._exec(sock, {"id": request_id}, params["argv"])
            case "exec_each":
                return {"ends": dict(self._exec_each(sock, request_id, **params))}
            case unknown:
                raise AssertionError(f"no such method: {unknown}")

    def _exec_each(
        self,
        sock: socket.socket,
        request_id: int,
        *,
        instance_ids: list[str],
        argv: list[str],
        timeout_s: float | None,
    ) -> Iterator[tuple[str, Any]]:
        here = {vm.instance_id for vm in self.host.vms()}
        for instance_id in instance_ids:
            if instance_id in here:
                names = {"id": request_id, "instance_id": instance_id}
                yield instance_id, self._exec(sock, names, argv)
            else:
                yield instance_id, {"error": _told(NotFoundError(f"no VM {instance_id}"))}

    def _run(self, sock: socket.socket, names: dict[str, Any], program: Program) -> int:
        stdin = self.inputs.setdefault(names["id"], bytearray())
        ended = self.ended.setdefault(names["id"], threading.Event())
        return program(stdin, lambda name, data: self._output(sock, names, name, data), ended)

    def _exec(self, sock: socket.socket, names: dict[str, Any], argv: list[str]) -> Any:
        request_id = names["id"]
        match argv:
            case ["echo", *words]:
                self._output(sock, names, "stdout", " ".join(words).encode() + b"\n")
                return {"exit_code": 0}
            case ["complain", word, code]:
                self._output(sock, names, "stderr", word.encode())
                return {"exit_code": int(code)}
            case ["cat"]:
                self.ended.setdefault(request_id, threading.Event()).wait(10)
                self._output(sock, names, "stdout", bytes(self.inputs[request_id]))
                return {"exit_code": 0}
            case ["sleep"]:
                self.ended.setdefault(request_id, threading.Event()).wait(10)
                return {"exit_code": 143}
            case ["flood", count]:
                for _ in range(int(count)):
                    if self.ended.setdefault(request_id, threading.Event()).is_set():
                        return {"exit_code": 143}
                    self._output(sock, names, "stdout", b"x" * FLOOD)
                self.flooded.set()
                return {"exit_code": 0}
            case [name, *_] if name in self.programs:
                return {"exit_code": self._run(sock, names, self.programs[name])}
            case ["die"]:
                self.die()
                raise UnavailableError("the host stops")
            case _:
                raise AssertionError(f"no such command: {argv}")

    def _output(self, sock: socket.socket, names: dict[str, Any], stream: str, data: bytes) -> None:
        params = {**names, "stream": stream, "data": base64.b64encode(data).decode()}
        self._send(sock, {"method": "exec.output", "params": params})

    def _send(self, sock: socket.socket, message: dict[str, Any]) -> None:
        with self._writing, suppress(OSError):
            sock.sendall(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def _told(error: FakevmError) -> dict[str, Any]:
    data = {"type": type(error).__name__, "hint": error.hint}
    return {"code": -32000, "message": str(error), "data": data}


def _vif(found: dict[str, Any]) -> Vif:
    ips = tuple(FixedIp(**ip) for ip in found.pop("fixed_ips"))
    return Vif(**found, fixed_ips=ips)
