"""Networks, ports and VMs of one test: made at once, removed at its end."""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from fakevm.display.output import plain
from fakevm.errors import WaitTimeoutError
from fakevm.inventory.addresses import Addressing
from fakevm.lab import Lab as Library
from fakevm.vms.requests import PortRequest
from tests.integration.command import TIMEOUT_S
from tests.integration.hosts import Host
from tests.integration.lab import COMPUTES, Lab
from tests.waiting import wait_until

# VMs at a time: enough to overlap their waiting on two cores.
PARALLEL = 3

# How long a boot may take, in seconds, on a slow machine: Nova waits 300.
BOOT_S = 120.0

# How long a port may take to go.
DELETE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A VIF of a VM, as `create-port` tells it."""

    lab: Lab
    port_id: str
    instance_id: str
    mac_address: str
    # Neutron's fixed IPs, without prefix length.
    ips: tuple[str, ...]
    host_name: str

    @property
    def ip(self) -> str:
        return self.ips[0]

    @property
    def host(self) -> Host:
        """Where it was plugged first; a test that migrates it asks the lab again."""
        return self.lab.host(self.host_name)

    def exec(self, *argv: str, stdin: str | None = None) -> str:
        return self.lab.fakevm.ok("exec", self.port_id, "--", *argv, stdin=stdin)

    def ping(self, address: str, *, count: int = 3) -> None:
        """Expect an answer to every ping; the first ones of a new path have time to resolve.

        One row may be broken: whenever a port comes or goes, Open vSwitch's userspace datapath
        stands still for a moment. What a move may lose the prober says.
        """
        # ping's own deadline is over at the first "Destination Host Unreachable".
        ping = ("exec", self.port_id, "--", "ping", "-n")
        first = (*ping, "-c", "1", "-W", "2", address)
        wait_until(f"{address}'s answer", lambda: self.lab.fakevm.run(*first).exit_code == 0)
        row = (*ping, "-i", "0.1", "-c", str(count), "-W", "5", address)
        whole = f"{count} packets transmitted, {count} received"
        out = self.lab.fakevm.run(*row).stdout
        if whole not in out:
            out = self.lab.fakevm.ok(*row)
        assert whole in out, out

    def assert_wholly_on(self, name: str) -> None:
        """The VIF is on this host alone: in OVS, in the kernel and in Neutron's bindings."""
        neutron, hosts = self.lab.sdk.network, self.lab.hosts()
        assert self.lab.hosts_with(self.port_id) == [name]
        assert [n for n, h in hosts.items() if self.instance_id in h.vm_names()] == [name]
        port = neutron.get_port(self.port_id)
        assert port.binding_host_id == name
        assert "migrating_to" not in port.binding_profile
        assert self.lab.bindings(self.port_id) == [(name, "ACTIVE")]
        wait_until("the port is wired", lambda: self.lab.is_wired(self.port_id, name))

    def cannot_ping(self, address: str) -> None:
        argv = ("ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", address)
        result = self.lab.fakevm.run("exec", self.port_id, "--", *argv)
        assert result.exit_code == 1, f"{result}"
        assert " 0 received" in result.stdout, f"{result}"


class Cloud:
    """Makes with openstacksdk what the commands work on, and VMs with the library."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        # Names are not unique in Neutron; a lab that was kept may have an earlier run's.
        self.prefix = f"{name[:60]}-{uuid.uuid4().hex[:6]}"
        self._networks: list[str] = []
        self._routers: list[str] = []
        self._floating_ips: list[str] = []
        self._groups: list[str] = []
        self._ports: list[str] = []
        # By their parent ports.
        self._trunks: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _neutron(self) -> Any:
        return self.lab.sdk.network

    def network(self, *, cidr: str | None = None, name: str = "net", **attributes: Any) -> str:
        """Make a network, and a subnet without DHCP if `cidr` is given; return the network's id."""
        network = self._neutron.create_network(name=f"{self.prefix}-{name}", **attributes)
        self._networks.append(network.id)
        if cidr:
            self.subnet(network.id, cidr, enable_dhcp=False)
        return str(network.id)

    def subnet(self, network: str, cidr: str, **attributes: Any) -> str:
        version = 6 if ":" in cidr else 4
        subnet = self._neutron.create_subnet(
            network_id=network,
            cidr=cidr,
            ip_version=version,
            name=f"{self.prefix}-v{version}",
            **attributes,
        )
        return str(subnet.id)

    def router(self, *subnets: str, outside: str | None = None) -> str:
        """Make a router between subnets, and to an external network."""
        gateway = {"external_gateway_info": {"network_id": outside}} if outside else {}
        router = self._neutron.create_router(name=self.prefix, **gateway)
        self._routers.append(router.id)
        for subnet in subnets:
            self._neutron.add_interface_to_router(router, subnet=subnet)
        return str(router.id)

    def floating_ip(self, outside: str, port_id: str) -> str:
        """Give a port an address of an external network."""
        made = self._neutron.create_ip(floating_network_id=outside, port_id=port_id)
        self._floating_ips.append(made.id)
        return str(made.floating_ip_address)

    def port(self, network: str) -> Any:
        """Make a port of no VM's."""
        port = self._neutron.create_port(
            network_id=network, name=self.prefix, port_security_enabled=False, security_groups=[]
        )
        self._ports.append(port.id)
        return port

    def trunk(self, parent: str, tags: Mapping[str, int]) -> None:
        """Make a port a trunk's parent, and others its subports, `port: VLAN`."""
        subports = [
            {"port_id": port, "segmentation_type": "vlan", "segmentation_id": tag}
            for port, tag in tags.items()
        ]
        trunk = self._neutron.create_trunk(name=self.prefix, port_id=parent, sub_ports=subports)
        self._trunks[parent] = trunk.id

    def security_group(self) -> str:
        """Make a group that lets everything out and nothing in."""
        group = self._neutron.create_security_group(name=self.prefix)
        self._groups.append(group.id)
        for rule in self._neutron.security_group_rules(
            security_group_id=group.id, direction="ingress"
        ):
            self._neutron.delete_security_group_rule(rule)
        return str(group.id)

    def guest(
        self,
        network: str,
        instance: str,
        host: str,
        *,
        addressing: Addressing = "static",
        group: str = "",
        name: str | None = None,
        fixed_ips: tuple[str, ...] = (),
    ) -> Guest:
        """Make a VM, or another NIC of one; static addresses unless told otherwise.

        By the library: a process for each would take longer than what it does.
        """
        request = PortRequest(
            network=network,
            instance=instance,
            host=host,
            name=name,
            addressing=addressing,
            fixed_ips=fixed_ips,
            security_groups=(group,) if group else (),
            port_security=bool(group),
        )
        start = time.time()
        with Library(self.lab.name) as library:
            try:
                made = library.create_port(request, timeout_s=BOOT_S)
            except WaitTimeoutError as error:
                # Scenario S, once in some thousand boots. Nothing else is tried again.
                if not self.lab.has_never_retried(str(error), since=start):
                    raise
                warnings.warn(f"scenario S was met: {error}", stacklevel=2)
                made = library.create_port(request)
        return guest_of(self.lab, plain(made.row))

    def attached(self, port: str, instance: str, host: str) -> Guest:
        """Boot a VM with a port that is there already."""
        with Library(self.lab.name) as library:
            row = library.attach(instance, port, host=host, addressing="static")
        return guest_of(self.lab, plain(row))

    def guests(
        self,
        network: str,
        hosts: Mapping[str, str],
        *,
        addressing: Addressing = "static",
        group: str = "",
    ) -> tuple[Guest, ...]:
        """Make a VM for each item, `instance: host`, some at a time."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            made = [
                pool.submit(self.guest, network, instance, host, addressing=addressing, group=group)
                for instance, host in hosts.items()
            ]
            return tuple(future.result() for future in made)

    def vifs(self) -> list[str]:
        """Return the ports of VMs on this test's networks."""
        return [
            port.id
            for network in self._networks
            for port in self._neutron.ports(network_id=network)
            if port.device_owner.startswith("compute:") or not port.device_owner
        ]

    def close(self) -> None:
        for floating_ip in self._floating_ips:
            self._neutron.delete_ip(floating_ip)
        for parent, trunk in self._trunks.items():
            # ML2/OVS keeps a trunk as long as its parent is bound.
            self.lab.fakevm.ok("detach", parent)
            self._neutron.delete_trunk(trunk)
        vifs = self.vifs()
        if vifs:
            self.lab.fakevm.ok("delete-port", *vifs, timeout_s=TIMEOUT_S + DELETE_S * len(vifs))
        for port_id in self._ports:
            self._neutron.delete_port(port_id)
        for router in self._routers:
            # Its gateway's port goes with it.
            inside = [
                port
                for port in self._neutron.ports(device_id=router)
                if port.device_owner != "network:router_gateway"
            ]
            for port in inside:
                self._neutron.remove_interface_from_router(router, port_id=port.id)
            self._neutron.delete_router(router)
        for network in self._networks:
            self._neutron.delete_network(network)
        for group in self._groups:
            self._neutron.delete_security_group(group)


def guest_of(lab: Lab, made: Mapping[str, Any]) -> Guest:
    return Guest(
        lab=lab,
        port_id=made["port_id"],
        instance_id=made["instance_id"],
        mac_address=made["mac_address"],
        ips=tuple(ip["ip_address"] for ip in made["fixed_ips"]),
        host_name=made["host"],
    )


def places(lab: Lab, guest: Guest) -> tuple[str, str]:
    """Return where a VM is, and where it goes next: to the host that it left longest ago.

    One that is back at once after a live migration may meet scenario N.
    """
    here = str(lab.sdk.network.get_port(guest.port_id).binding_host_id)
    return here, COMPUTES[(COMPUTES.index(here) + 1) % len(COMPUTES)]
