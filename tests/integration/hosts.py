"""Looks into a lab's containers from outside fakevm: by Docker's API, ip, ovs-vsctl."""

from __future__ import annotations

import json
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from docker import APIClient, from_env

from tests.waiting import wait_until

_LOCAL = threading.local()


def docker(*args: str, check: bool = True, merge: bool = False) -> str:
    """Run the docker client; return its stdout, with stderr in its place if `merge`."""
    done = subprocess.run(
        ("docker", *args),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merge else subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(args)}: {done.stdout}{done.stderr or ''}")
    return done.stdout


def engine() -> APIClient:
    """Return this thread's connection to the engine; the docker client takes longer to start."""
    if not hasattr(_LOCAL, "client"):
        _LOCAL.client = from_env(timeout=120).api
    client: APIClient = _LOCAL.client
    return client


def container_ids(lab: str) -> dict[str, str]:
    """Return the full id of each container of a lab, by service."""
    found = engine().containers(all=True, filters={"label": f"fakevm.lab={lab}"})
    return {one["Labels"].get("com.docker.compose.service", ""): one["Id"] for one in found}


def _output(exec_id: str) -> tuple[str, str]:
    """Carry out an exec that was made; return its stdout and stderr.

    docker-py's exec_start reads the bare socket, past what came with the answer's headers: of a
    thousand short commands one says nothing.
    """
    url = f"{engine().base_url}/v{engine().api_version}/exec/{exec_id}/start"
    answer = engine().post(url, json={"Detach": False, "Tty": False}, timeout=120)
    answer.raise_for_status()
    rest, parts = answer.content, {1: b"", 2: b""}
    while rest:
        # Docker Engine API, "Stream format" of an attach.
        stream, size = struct.unpack(">BxxxL", rest[:8])
        parts[stream] += rest[8 : 8 + size]
        rest = rest[8 + size :]
    return parts[1].decode(errors="replace"), parts[2].decode(errors="replace")


def inspect(ids: list[str]) -> list[dict[str, Any]]:
    return [engine().inspect_container(each) for each in ids]


@dataclass(frozen=True, kw_only=True)
class Host:
    """A container of the lab, looked at from outside fakevm."""

    name: str
    container: str

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a program to its end; return its stdout."""
        made = engine().exec_create(self.container, list(argv))["Id"]
        out, err = _output(made)
        if check and engine().exec_inspect(made)["ExitCode"] != 0:
            raise AssertionError(f"{self.name}: {' '.join(argv)}: {out}{err}")
        return out

    def vm_names(self) -> set[str]:
        """Return the network namespaces, which are named by device_id."""
        return {str(ns["name"]) for ns in json.loads(self.run("ip", "-j", "netns") or "[]")}

    def links(self, netns: str | None = None) -> dict[str, dict[str, Any]]:
        """Return `ip -d -j address`, by link; in a VM, or in the host itself."""
        where = ("-n", netns) if netns else ()
        rows = json.loads(self.run("ip", *where, "-d", "-j", "address") or "[]")
        return {row["ifname"]: row for row in rows}

    def addresses(self, netns: str, nic: str = "eth0") -> set[str]:
        """Return the NIC's addresses with their prefix length; link-local ones are left out."""
        return {
            f"{a['local']}/{a['prefixlen']}"
            for a in self.links(netns)[nic]["addr_info"]
            if a["scope"] == "global"
        }

    def interfaces(self) -> dict[str, dict[str, Any]]:
        """Return OVS's interfaces that Neutron knows, by port id (`iface-id`)."""
        columns = "name,external_ids,ofport,error,mac_in_use"
        text = self.run("ovs-vsctl", "--format=json", f"--columns={columns}", "list", "Interface")
        rows = [dict(zip(columns.split(","), row, strict=True)) for row in _table(text)]
        found = {}
        for row in rows:
            row["external_ids"] = dict(row["external_ids"][1])
            if "iface-id" in row["external_ids"]:
                found[row["external_ids"]["iface-id"]] = row
        return found

    def tag(self, device: str) -> int | None:
        """Return the local VLAN of a device's OVS port, None where it has none."""
        text = self.run("ovs-vsctl", "--format=json", "get", "Port", device, "tag").strip()
        return None if text == "[]" else int(text)

    def processes(self, *words: str) -> list[int]:
        """Return the pids of the processes whose command line has all these words."""
        return [pid for pid, line in self._command_lines() if all(word in line for word in words)]

    def service_pid(self, service: str) -> int:
        """Return the pid of what the supervisor runs under this name; 0 while it does not."""
        words = self.run("s6-svstat", "-o", "pid", f"/run/services/{service}").split()
        return max(0, int(words[0]))

    def signal(self, name: str, *words: str) -> None:
        """Send a signal to the processes whose command line has all these words."""
        pids = self.processes(*words)
        assert pids, f"{self.name} has no process {words}"
        # The shell's own: not every image has the program.
        self.run("sh", "-c", f"kill -{name} {' '.join(map(str, pids))}")

    @contextmanager
    def paused(self, *words: str) -> Iterator[None]:
        """Stop processes in mid-life: they are there, and answer nobody."""
        self.signal("STOP", *words)
        try:
            yield
        finally:
            self.signal("CONT", *words)

    @contextmanager
    def stopped(self, service: str) -> Iterator[None]:
        """Let the supervisor hold a service down; then wait until it serves, if it says so."""
        folder = f"/run/services/{service}"
        self.run("s6-svc", "-d", folder)
        wait_until(f"{service} down", lambda: self.service_pid(service) == 0)
        try:
            yield
        finally:
            self.run("s6-svc", "-u", folder)
            wait_until(f"{service} up", lambda: self.service_pid(service) != 0)
            ready = f"[ ! -e {folder}/notification-fd ] || s6-svwait -t 60000 -U {folder}"
            self.run("sh", "-c", ready)

    def _command_lines(self) -> Iterator[tuple[int, str]]:
        # What has ended but was not reaped has no command line any more.
        text = self.run("sh", "-c", "grep -sa . /proc/[0-9]*/cmdline", check=False)
        for line in text.splitlines():
            path, _, args = line.partition(":")
            if "grep -sa" not in args.replace("\0", " "):
                yield int(path.split("/")[2]), args.replace("\0", " ")


def _table(text: str) -> list[list[Any]]:
    return list(json.loads(text)["data"])
