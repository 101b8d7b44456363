"""A VM's DHCP client, which asks once."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from fakevm.errors import FakevmError
from fakevm.neutron.values import Network, Port
from fakevm.scenarios.stage import Stage

# A client asks every few seconds.
WITHIN_S = 6.0

# It forgets what it knows, and the client that it left running.
_ASK = """
dhclient -4 -x eth0; rm -f /var/lib/dhcp/dhclient*.leases
exec timeout "$1" dhclient -4 -1 -v eth0
"""

# dhclient's exit code without an answer, and that of timeout(1).
_NO_LEASE = (2, 124)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """What became of a client's request; nothing, where no address came in time."""

    seconds: float | None = None
    # Who gave it, by its address.
    server: str = ""


def asked(stage: Stage, vm: Port) -> Lease:
    """Let a VM's DHCP client ask for an address, as one that knows none."""
    stage.say("asking for an address by DHCP")
    start = time.monotonic()
    exit_code, said = stage.tried_in_vm(vm, "sh", "-c", _ASK, "-", f"{WITHIN_S:g}")
    if exit_code == 0:
        servers = re.findall(r"^DHCPACK of \S+ from (\S+)", said, re.MULTILINE)
        return Lease(seconds=round(time.monotonic() - start, 1), server=servers[-1])
    if exit_code not in _NO_LEASE:
        raise FakevmError(f"dhclient ended with exit code {exit_code} in VM {vm.device_id}: {said}")
    stage.say(said.rpartition("\n")[2])
    return Lease()


def dhcp_ports(stage: Stage, network: Network) -> list[Port]:
    """Return the ports that DHCP agents have made: each is at work on the network."""
    return stage.neutron.ports(network_id=network.id, device_owner="network:dhcp")
