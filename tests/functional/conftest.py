"""An Open vSwitch for all tests, an agent for each, and nothing left behind."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fakevm.model import FixedIp, Vif, Vm
from tests.functional.agent import Agent
from tests.functional.openvswitch import BRIDGE, OpenVSwitch, run
from tests.functional.seen import devices, namespaces

_OFPORT_TIMEOUT = 3


@pytest.fixture(scope="session")
def openvswitch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenVSwitch]:
    found = OpenVSwitch(tmp_path_factory.mktemp("ovs"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def shared_agent(
    openvswitch: OpenVSwitch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Agent]:
    found = Agent(
        tmp_path_factory.mktemp("agent"), openvswitch.connection, ofport_timeout=_OFPORT_TIMEOUT
    )
    found.start()
    yield found
    assert found.stop() == 0
    assert "Traceback" not in found.log(), found.log()


@pytest.fixture
def agent(openvswitch: OpenVSwitch, shared_agent: Agent) -> Iterator[Agent]:
    """An agent on a host that has nothing before and, after a cleanup, nothing again."""
    with nothing_left(openvswitch):
        yield shared_agent
        shared_agent.call("cleanup", keep=[], dry_run=False)


@pytest.fixture
def mortal_agent(openvswitch: OpenVSwitch, tmp_path: Path) -> Iterator[Agent]:
    """An agent of the test's own, to be ended and started again; it must run at the end."""
    with mortal(openvswitch, tmp_path, ofport_timeout=_OFPORT_TIMEOUT) as found:
        yield found


@contextmanager
def mortal(openvswitch: OpenVSwitch, folder: Path, **options: object) -> Iterator[Agent]:
    """Let an agent with these options run; it must run at the end."""
    found = Agent(folder, openvswitch.connection, **options)
    with nothing_left(openvswitch):
        found.start()
        yield found
        found.call("cleanup", keep=[], dry_run=False)
        assert found.stop() == 0
    assert "Traceback" not in found.log(), found.log()


@contextmanager
def nothing_left(openvswitch: OpenVSwitch) -> Iterator[None]:
    before = devices(), namespaces(), openvswitch.ports()
    yield
    # The bridge's MTU follows its ports'.
    openvswitch.settle()
    assert (devices(), namespaces(), openvswitch.ports()) == before


@pytest.fixture
def vm() -> Vm:
    return make_vm()


def make_vm(name: str = "vm1") -> Vm:
    return Vm(instance_id=str(uuid.uuid4()), name=name, project_id=str(uuid.uuid4()))


def make_vif(*addresses: str, method: str = "static", hybrid: bool = False, **values: Any) -> Vif:
    """Make a VIF with addresses, each with its prefix length, as Neutron binds it here."""
    port_id = str(uuid.uuid4())
    fixed_ips = tuple(
        FixedIp(
            ip_address=address.split("/")[0],
            prefix_len=int(address.split("/")[1]),
            subnet_id=str(uuid.uuid4()),
            method=method,  # type: ignore[arg-type]
        )
        for address in addresses
    )
    octets = uuid.UUID(port_id).bytes
    defaults: dict[str, Any] = {
        "port_id": port_id,
        "network_id": str(uuid.uuid4()),
        "mac_address": f"fa:16:3e:{octets[0]:02x}:{octets[1]:02x}:{octets[2]:02x}",
        "mtu": 1442,
        "vif_type": "ovs",
        "vif_details": {
            "connectivity": "l2",
            "port_filter": True,
            "ovs_hybrid_plug": hybrid,
            "datapath_type": "netdev",
            "bridge_name": BRIDGE,
        },
        "fixed_ips": fixed_ips,
    }
    return Vif(**{**defaults, **values})


def lose_all(vifs: Iterable[tuple[Vif, Vm]]) -> None:
    """Do what a restart of the host's container does: the kernel forgets, the files stay."""
    for vif, vm in vifs:
        if vm.instance_id in namespaces():
            for pid in run("ip", "netns", "pids", vm.instance_id).split():
                run("kill", "-KILL", pid)
            run("ip", "netns", "del", vm.instance_id)
            # Where /run is no tmpfs, as in a container, an empty file of the name is left.
            Path("/run/netns", vm.instance_id).touch()
        for prefix in ("tap", "qbr", "qvb"):
            delete_link(f"{prefix}{vif.port_id}"[:14])


def delete_link(name: str) -> None:
    """Delete a device, if it is there."""
    subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)
