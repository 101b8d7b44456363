"""What is measured, each with the raw thing beside it."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import Figure, Report
from tests.bench.streams import Agent, Shell
from tests.bench.timing import medians, timed
from tests.integration.cloud import Cloud, Guest
from tests.integration.hosts import docker
from tests.integration.lab import Lab

MTU = 1450


def first_ping(cloud: Cloud) -> tuple[str, Guest]:
    """Let one VM ping another on another host; return their network and the VM."""
    network = cloud.network(cidr="10.99.0.0/24")
    one, other = cloud.guests(network, {"first": "compute-1", "second": "compute-2"})
    one.exec("ping", "-n", "-c", "1", "-w", "30", other.ip)
    return network, one


def plug(report: Report, lab: Lab) -> None:
    """Plug a VIF by the agent, and by `ip` and `ovs-vsctl` in a shell of the same host."""
    host = lab.host("compute-1")
    with Agent(host.container) as agent, Shell(host.container) as shell:

        def by_agent() -> float:
            vif, vm = made_up_vif()
            seconds = timed(lambda: agent.call("plug", vif=vif, vm=vm))
            agent.call("unplug", port_id=vif["port_id"])
            return seconds

        def by_hand() -> float:
            vif, vm = made_up_vif()
            seconds = timed(lambda: shell.run(hand_plug(vif, vm)))
            shell.run(hand_unplug(vif, vm))
            return seconds

        median = medians({"agent": by_agent, "hand": by_hand}, repeats=15)
    report.add(
        Figure(key="plug_ms", value=median["agent"] * 1e3, what="ms, plug by the agent"),
        Figure(key="plug_raw_ms", value=median["hand"] * 1e3, what="ms, by `ip` and `ovs-vsctl`"),
        Figure(
            key="plug_ratio",
            value=median["hand"] / median["agent"],
            what="times as fast as by hand",
            bar=2,
            better="higher",
        ),
    )


def execute(report: Report, lab: Lab, guest: Guest) -> None:
    """Run `true` in a VM: on an open stream, by `fakevm exec`, by `docker exec`."""
    container = guest.host.container
    raw = ("docker", "exec", container, "ip", "netns", "exec", guest.instance_id, "true")
    fakevm, env = str(lab.fakevm.executable), lab.fakevm.environment()
    with_host = (fakevm, "exec", "--host", guest.host_name, guest.port_id, "true")
    without_host = (fakevm, "exec", guest.port_id, "true")

    def process(argv: tuple[str, ...]) -> float:
        return timed(lambda: subprocess.run(argv, env=env, check=True, capture_output=True))

    with Agent(container) as agent:
        params: dict[str, object] = {
            "port_id": guest.port_id,
            "argv": ["true"],
            "timeout_s": None,
            "tty": None,
            "stdin": False,
        }
        median = medians(
            {
                "stream": lambda: timed(lambda: agent.call("exec", **params)),
                "raw": lambda: process(raw),
                "with_host": lambda: process(with_host),
                "without_host": lambda: process(without_host),
            },
            repeats=20,
        )
    report.add(
        Figure(
            key="exec_stream_ms",
            value=median["stream"] * 1e3,
            what="ms, `true` in a VM on an open stream",
            bar=15,
        ),
        Figure(
            key="exec_raw_ms",
            value=median["raw"] * 1e3,
            what="ms, `docker exec … ip netns exec … true`",
        ),
        Figure(
            key="exec_stream_ratio",
            value=median["stream"] / median["raw"],
            what="stream / docker exec",
        ),
        # Like with like: `docker exec` is told where the VM is, too.
        Figure(key="exec_cli_ms", value=median["with_host"] * 1e3, what="ms, `fakevm exec --host`"),
        Figure(
            key="exec_cli_ratio",
            value=median["with_host"] / median["raw"],
            what="fakevm exec --host / docker exec",
            bar=3,
        ),
        Figure(
            key="exec_cli_located_ratio",
            value=median["without_host"] / median["raw"],
            what="fakevm exec, which asks Docker and Neutron where, / docker exec",
        ),
    )


def create_port(report: Report, lab: Lab, cloud: Cloud, network: str) -> None:
    """Make a port and plug it: the whole process with its parts, and the least that it takes."""
    parts: list[Mapping[str, float]] = []

    def by_command() -> float:
        argv = ("create-port", "-f", "json", "--timings", "--address", "static", "--host")
        start = time.perf_counter()
        printed = lab.fakevm.ok(*argv, "compute-1", network, f"vm-{uuid.uuid4().hex[:8]}")
        seconds = time.perf_counter() - start
        made = json.loads(printed)
        parts.append({**made["timings"], "process_s": seconds})
        lab.fakevm.ok("delete-port", made["port_id"])
        return seconds

    with Agent(lab.host("compute-1").container) as agent:
        endpoint = lab.sdk.config.config["auth"]["endpoint"]
        raw = RawPort(endpoint=endpoint, agent=agent, network=network)
        median = medians({"command": by_command, "raw": raw.act}, repeats=7)

    def waited(part: Mapping[str, float]) -> float:
        return part["neutron_s"] + part["plug_s"] + part["configure_s"] + part["active_s"]

    def middle(values: Iterator[float]) -> float:
        ordered = sorted(values)
        return ordered[len(ordered) // 2]

    parts = parts[1:]
    report.add(
        Figure(key="create_port_s", value=median["command"], what="s, `fakevm create-port`"),
        Figure(
            key="create_port_raw_s",
            value=median["raw"],
            what="s, POST, the agent's plug, GET until ACTIVE",
        ),
        Figure(
            key="create_port_ratio", value=median["command"] / median["raw"], what="command / raw"
        ),
        Figure(
            key="create_port_own_share",
            value=middle(part["other_s"] / part["total_s"] for part in parts),
            what="our own rest / the whole, without start-up",
            bar=0.1,
        ),
        Figure(
            key="create_port_own_share_with_startup",
            value=middle(1 - waited(part) / part["process_s"] for part in parts),
            what="our own rest / the whole process",
            bar=0.25,
        ),
    )
    report.add_breakdown(
        "create_port_parts", {key: middle(part[key] for part in parts) for key in parts[0]}
    )


@dataclass(frozen=True, kw_only=True)
class RawPort:
    """The least that a port costs: Neutron's own answers and the plug, by urllib and a stream."""

    endpoint: str
    agent: Agent
    network: str

    def act(self) -> float:
        start = time.perf_counter()
        body = {
            "network_id": self.network,
            "device_id": str(uuid.uuid4()),
            "device_owner": "compute:nova",
            "binding:host_id": "compute-1",
        }
        port = request(self.endpoint, "POST", "/v2.0/ports", {"port": body})["port"]
        vif, vm = made_up_vif()
        vif |= {
            "port_id": port["id"],
            "network_id": port["network_id"],
            "mac_address": port["mac_address"],
            "vif_details": port["binding:vif_details"],
        }
        vm["instance_id"] = port["device_id"]
        self.agent.call("plug", vif=vif, vm=vm)
        path = f"/v2.0/ports/{port['id']}"
        while request(self.endpoint, "GET", path)["port"]["status"] != "ACTIVE":
            time.sleep(0.1)
        seconds = time.perf_counter() - start
        self.agent.call("unplug", port_id=port["id"])
        request(self.endpoint, "DELETE", path)
        return seconds


def request(endpoint: str, method: str, path: str, body: object = None) -> Any:
    """Ask Neutron by no more than it takes; return what it answers."""
    asked = urllib.request.Request(
        f"{endpoint}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def memory(report: Report, lab: Lab, *, prefix: str = "") -> None:
    """Ask Docker what each container of the lab holds, page cache left out."""
    used = held(lab)
    report.add(
        Figure(key=f"{prefix}memory_total_mib", value=sum(used.values()), what="MiB, the whole lab")
    )
    report.add_breakdown(f"{prefix}memory_mib", dict(sorted(used.items())))


def held(lab: Lab) -> dict[str, float]:
    """Return the MiB that each container of a lab holds."""
    used = {}
    template = "{{.Name}}\t{{.MemUsage}}"
    names = docker("ps", "--format", "{{.Names}}", "--filter", f"label=fakevm.lab={lab.name}")
    for line in docker("stats", "--no-stream", "--format", template, *names.split()).splitlines():
        name, usage = line.split("\t")
        used[name] = mebibytes(usage.split("/")[0].strip())
    return used


def images(report: Report, lab: Lab) -> None:
    """Add up the layers of the lab's images, those that several share once."""
    label = f"label=fakevm.lab={lab.name}"
    used = sorted(set(docker("ps", "--format", "{{.Image}}", "--filter", label).split()))
    sizes = [json.loads(docker("image", "inspect", image))[0]["Size"] for image in used]
    save = subprocess.Popen(("docker", "save", *used), stdout=subprocess.PIPE)
    assert save.stdout
    unique = 0
    # An archive of several images holds each layer once.
    while piece := save.stdout.read(1 << 20):
        unique += len(piece)
    if save.wait() != 0:
        raise RuntimeError(f"docker save {used} failed")
    report.add(
        Figure(key="images_unique_mb", value=unique / 1e6, what="MB, unique layers", bar=900),
        Figure(key="images_raw_mb", value=sum(sizes) / 1e6, what="MB, each image by itself"),
        Figure(key="images_ratio", value=unique / sum(sizes), what="unique / by themselves"),
    )


def mebibytes(text: str) -> float:
    """Return Docker's '1.234GiB' as MiB."""
    for unit, factor in (("GiB", 1024.0), ("MiB", 1.0), ("KiB", 1 / 1024), ("B", 1 / 1024**2)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)


def made_up_vif() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a VIF and its VM as the agent takes them; Neutron knows nothing of them."""
    port_id, mac = str(uuid.uuid4()), uuid.uuid4().hex
    vif = {
        "port_id": port_id,
        "network_id": str(uuid.uuid4()),
        "mac_address": f"fa:16:3e:{mac[0:2]}:{mac[2:4]}:{mac[4:6]}",
        "mtu": MTU,
        "vif_type": "ovs",
        "vif_details": {"bridge_name": "br-int", "datapath_type": "netdev", "port_filter": True},
        "fixed_ips": [
            {
                "ip_address": "10.99.0.5",
                "prefix_len": 24,
                "subnet_id": str(uuid.uuid4()),
                "method": "static",
            }
        ],
    }
    vm = {"instance_id": str(uuid.uuid4()), "name": "bench", "project_id": ""}
    return vif, vm


def hand_plug(vif: Mapping[str, Any], vm: Mapping[str, Any]) -> str:
    """Return what a person would type for the same: a netns, a veth pair in it, an OVS port."""
    tap, netns, mac = f"tap{vif['port_id']}"[:14], vm["instance_id"], vif["mac_address"]
    ids = {
        "iface-id": vif["port_id"],
        "attached-mac": mac.replace(":", r"\:"),
        "iface-status": "active",
        "vm-uuid": netns,
    }
    external = " ".join(f"external_ids:{key}={value}" for key, value in ids.items())
    return f"""
ip netns add {netns}
ip -n {netns} link set lo up
ip link add {tap} mtu {MTU} type veth peer name eth0 netns {netns} address {mac} mtu {MTU}
ip netns exec {netns} ethtool -K eth0 tx off
ip link set {tap} up
ip -n {netns} link set eth0 up
ip -n {netns} address add 10.99.0.5/24 dev eth0
ovs-vsctl --may-exist add-port br-int {tap} -- set Interface {tap} '{external}'
ovs-vsctl get Interface {tap} ofport error"""


def hand_unplug(vif: Mapping[str, Any], vm: Mapping[str, Any]) -> str:
    tap = f"tap{vif['port_id']}"[:14]
    return f"ovs-vsctl del-port br-int {tap}\nip netns delete {vm['instance_id']}"
