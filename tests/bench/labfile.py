"""A lab file's contents: by `fakevm up`, and by Neutron's own calls with the least around them.

Both end when every VM has its address: ten networks' DHCP agents are Neutron's own time, too.
"""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.bench.figures import Figure, Report
from tests.bench.measures import made_up_vif, request
from tests.bench.streams import Agent
from tests.bench.timing import timed
from tests.integration.lab import COMPUTES, Lab
from tests.waiting import wait_until

NETWORKS = 10
ROUTERS = 5
VMS = 30

# As many of Neutron's answers as are waited for at once: as many threads as its API has.
CALLS = 4

# How long an address may take.
ADDRESS_S = 300.0

T = TypeVar("T")


def add(report: Report, lab: Lab) -> None:
    """Make the same things twice."""
    raw_s = Raw(lab).seconds()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fakevm.yaml"
        file.write_text(yaml.safe_dump(contents(lab)), encoding="utf-8")
        up = ("up", "--topo", str(file))
        seconds = timed(lambda: lab.fakevm.ok(*up))
        again_s = timed(lambda: lab.fakevm.ok(*up))
        what = f"{NETWORKS} networks, {ROUTERS} routers, {VMS} VMs"
        report.add(
            Figure(key="file_up_s", value=seconds, what=f"s, `up` of a file with {what}"),
            Figure(key="file_raw_s", value=raw_s, what="s, Neutron's calls, plugs, DHCP"),
            Figure(key="file_up_ratio", value=seconds / raw_s, what="file / calls", bar=1.3),
            Figure(key="file_again_s", value=again_s, what="s, the same `up` once more"),
        )
        file.write_text(yaml.safe_dump({"name": lab.name}), encoding="utf-8")
        lab.fakevm.ok(*up, "--prune")


def contents(lab: Lab) -> dict[str, Any]:
    """Return a lab file: each router joins two networks, each network has three VMs."""
    return {
        "name": lab.name,
        "computes": len(COMPUTES),
        "networks": {f"net-{n}": {"subnets": [cidr(n)]} for n in range(NETWORKS)},
        "routers": {
            f"router-{n}": {"interfaces": [f"net-{2 * n}", f"net-{2 * n + 1}"]}
            for n in range(ROUTERS)
        },
        "vms": {
            f"vm-{n}": {"host": host_of(n), "nics": [f"net-{n % NETWORKS}"]} for n in range(VMS)
        },
    }


def cidr(number: int) -> str:
    return f"10.77.{number}.0/24"


def host_of(number: int) -> str:
    return COMPUTES[number % len(COMPUTES)]


class Raw:
    """Neutron's own calls for them, and of the rest no more than makes ports ACTIVE."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._endpoint = str(lab.sdk.config.config["auth"]["endpoint"])
        self._calling = threading.BoundedSemaphore(CALLS)
        self._undo = ExitStack()

    def seconds(self) -> float:
        """Make them, return how long it took, remove them."""
        before = self._namespaces()
        with self._undo:
            self._containers = {name: self._lab.host(name).container for name in COMPUTES}
            start = time.perf_counter()
            networks = self._each(self._network, range(NETWORKS))
            self._each(lambda n: self._router(networks[2 * n : 2 * n + 2]), range(ROUTERS))
            self._each(lambda n: self._vm(n, networks[n % NETWORKS][0]), range(VMS))
            seconds = time.perf_counter() - start
        # The agents remove them later, and what comes next would be measured with that.
        wait_until("the agents' end with it", lambda: self._namespaces() <= before)
        return seconds

    def _namespaces(self) -> set[str]:
        """Return those of the DHCP and L3 agents."""
        return set(self._lab.host("network-1").run("ls", "/run/netns", check=False).split())

    def _each(self, work: Callable[[int], T], numbers: range) -> list[T]:
        with ThreadPoolExecutor(len(numbers)) as pool:
            return list(pool.map(work, numbers))

    def _call(self, method: str, path: str, body: object = None) -> Any:
        with self._calling:
            return request(self._endpoint, method, f"/v2.0/{path}", body)

    def _made(self, kind: str, **body: object) -> Any:
        made = self._call("POST", f"{kind}s", {kind: body})[kind]
        self._undo.callback(self._call, "DELETE", f"{kind}s/{made['id']}")
        return made

    def _network(self, number: int) -> tuple[str, str]:
        network = self._made("network", name=f"raw-{number}")["id"]
        body = {"network_id": network, "cidr": cidr(number), "ip_version": 4}
        return network, self._made("subnet", **body)["id"]

    def _router(self, networks: Sequence[tuple[str, str]]) -> None:
        router = self._made("router", name="raw")["id"]
        for _, subnet in networks:
            body = {"subnet_id": subnet}
            self._call("PUT", f"routers/{router}/add_router_interface", body)
            remove = f"routers/{router}/remove_router_interface"
            self._undo.callback(self._call, "PUT", remove, body)

    def _vm(self, number: int, network: str) -> None:
        host = host_of(number)
        port = self._made("port", network_id=network, device_id=str(uuid.uuid4()))
        bound = {"device_owner": "compute:nova", "binding:host_id": host}
        port = self._call("PUT", f"ports/{port['id']}", {"port": bound})["port"]
        vif, vm = made_up_vif()
        vif |= {name: port[name] for name in ("network_id", "mac_address")}
        (fixed,) = port["fixed_ips"]
        vif |= {"port_id": port["id"], "vif_details": port["binding:vif_details"]}
        vif["fixed_ips"] = [{**fixed, "prefix_len": 24, "method": "dhcp"}]
        with Agent(self._containers[host]) as agent:
            agent.call("plug", vif=vif, vm=vm | {"instance_id": port["device_id"]})
            self._undo.callback(self._unplug, host, port["id"])
            active = f"ports/{port['id']}?fields=status"
            while self._call("GET", active)["port"]["status"] != "ACTIVE":
                time.sleep(0.2)
            agent.call("configure", port_id=port["id"], timeout_s=ADDRESS_S)

    def _unplug(self, host: str, port_id: str) -> None:
        with Agent(self._containers[host]) as agent:
            agent.call("unplug", port_id=port_id)
