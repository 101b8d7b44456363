"""A running lab as the tests see it, and the logs of its containers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import openstack
import yaml
from openstack.connection import Connection

from fakevm.errors import WaitTimeoutError
from fakevm.lab import Lab as Library
from fakevm.migrate.request import MigrationRequest
from fakevm.reports.migration import MigrationReport
from tests.integration.command import Fakevm
from tests.integration.hosts import Host, container_ids, docker, inspect
from tests.waiting import wait_until

COMPUTES = ("compute-1", "compute-2", "compute-3")
TOO_EARLY = re.compile(r"VIF port: (?P<port>\S+) has no valid ofport")


@dataclass
class Lab:
    """A lab of its own name; what is asked is read from Docker and from Neutron."""

    name: str
    fakevm: Fakevm = field(init=False)
    _sdk: Connection | None = None

    def __post_init__(self) -> None:
        self.fakevm = Fakevm(lab=self.name)

    @property
    def sdk(self) -> Connection:
        """Neutron's API, reached as a user would: with what `fakevm clouds-yaml` prints."""
        if self._sdk is None:
            self._sdk = self.sdk_of("admin")
        return self._sdk

    def sdk_of(self, user: str) -> Connection:
        """The same by another user of the lab's Keystone."""
        clouds = yaml.safe_load(self.fakevm.ok("clouds-yaml"))["clouds"]
        name = f"fakevm-{self.name}"
        cloud = clouds[name if user == "admin" else f"{name}-{user}"]
        return openstack.connect(load_yaml_config=False, load_envvars=False, **cloud)

    @cached_property
    def backend(self) -> str:
        """Who wires its ports, by the label that says so."""
        labels = [one["Config"]["Labels"] for one in inspect([*container_ids(self.name).values()])]
        (backend,) = {one["fakevm.backend"] for one in labels if "fakevm.backend" in one}
        return str(backend)

    @property
    def tunnel_type(self) -> str:
        """The type of a network that nobody has chosen one for."""
        return {"ovs": "vxlan", "ovn": "geneve"}[self.backend]

    def migrate(self, *argv: str) -> None:
        """Migrate; the VM arrives.

        ML2/OVN may leave its port DOWN then, which is scenario Q.
        """
        patience = ("--timeout", "15") if self.backend == "ovn" else ()
        result = self.fakevm.run("migrate", *patience, *argv)
        down = self.backend == "ovn" and result.exit_code == 6 and "is DOWN" in result.stderr
        assert result.exit_code == 0 or down, f"{result}"

    def bindings(self, port_id: str) -> list[tuple[str, str]]:
        """Return the host and the status of each of a port's bindings."""
        rows = self.sdk.network.get(f"/ports/{port_id}/bindings").json()["bindings"]
        return [(row["host"], row["status"]) for row in rows]

    def is_wired(self, port_id: str, name: str) -> bool:
        """Tell whether a port that is plugged on a host has its network there."""
        if self.backend == "ovn":
            return self.chassis(port_id) == name
        # 4095 is the L2 agent's VLAN for what nobody may reach.
        return self.host(name).tag(f"tap{port_id}"[:14]) not in (None, 4095)

    def chassis(self, port_id: str) -> str:
        """Return the chassis that OVN has a port on; "" if it is on none."""
        query = ("--bare", "--columns=chassis", "find", "Port_Binding", f"logical_port={port_id}")
        row = self.fakevm.ok("ovn", "sbctl", *query).strip()
        name = self.fakevm.ok("ovn", "sbctl", "get", "Chassis", row, "name") if row else ""
        return name.strip().strip('"')

    def host(self, name: str) -> Host:
        return Host(name=name, container=container_ids(self.name)[name])

    def hosts(self) -> dict[str, Host]:
        """Return the compute hosts."""
        return {
            name: Host(name=name, container=container)
            for name, container in sorted(container_ids(self.name).items())
            if name.startswith("compute-")
        }

    def hosts_with(self, port_id: str) -> list[str]:
        """Return the hosts whose OVS has an interface for this port."""
        return [name for name, host in self.hosts().items() if port_id in host.interfaces()]

    def wait_until_healthy(self, *services: str) -> None:
        """Wait for Docker's own word on these services, all of the lab by default."""

        def healthy() -> bool:
            ids = container_ids(self.name)
            states = [c["State"] for c in inspect([ids[s] for s in services or ids])]
            return all(
                s["Running"] and s.get("Health", {"Status": "healthy"})["Status"] == "healthy"
                for s in states
            )

        wait_until(f"{services or 'all'} healthy", healthy, timeout_s=180)

    def wait_until_alive(self, *hosts: str) -> None:
        """Wait until Neutron reports the L2 agents of these hosts alive."""

        def all_alive() -> bool:
            agents = self.sdk.network.agents(binary="neutron-openvswitch-agent")
            return set(hosts) <= {a.host for a in agents if a.is_alive}

        wait_until(f"the L2 agents of {hosts} alive", all_alive, timeout_s=180)

    def has_never_retried(self, said: str, *, since: float) -> bool:
        """Tell whether an L2 agent looked at a port that `said` names too early (scenario S)."""
        return any(
            found["port"] in said
            for container in container_ids(self.name).values()
            for found in TOO_EARLY.finditer(docker_logs(container, "--since", f"{since:.3f}"))
        )

    def save_logs(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for service, container in container_ids(self.name).items():
            text = docker_logs(container)
            (folder / f"{service}.log").write_text(text, encoding="utf-8")


def migrate(library: Library, port_id: str, request: MigrationRequest) -> None:
    """Migrate by the library; the VM arrives, or what fails is raised.

    ML2/OVN may leave its port DOWN then, which is scenario Q.
    """
    reports: list[MigrationReport] = []
    ovn = library.backend.name == "ovn"
    if ovn:
        request = replace(request, timeout_s=15)
    try:
        library.migrate(port_id, request, on_report=reports.append)
    except WaitTimeoutError:
        if not ovn or [one.outcome for one in reports] != ["unsettled"]:
            raise


def docker_logs(container: str, *options: str) -> str:
    return docker("logs", *options, container, check=False, merge=True)
