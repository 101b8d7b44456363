"""How a VM comes by its addresses: DHCP clients and router advertisements."""

import ipaddress
import os
import re
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from fakevm.errors import WaitTimeoutError
from fakevm.model import FixedIp
from fakevm_agent.guest.folder import DHCPV6, DhcpClient, Guest
from fakevm_agent.guest.run import Spawner
from fakevm_agent.kernel import ip, netns, processes
from fakevm_agent.kernel.ip import Address
from fakevm_agent.records import Record

_LAST_WORDS = 2
_COMMAND_MAX = 1000
# How long a script that was killed may take to end.
_SCRIPT_S = 2.0
# A client, and what waits to become one.
_OWN_CLIENT = re.compile(rb"\0-pf\0/run/dhclient6?\.eth\d+\.pid\0")
_OWN_COMMANDS = {"dhclient-script", "fakevm-probe"}
# What dhclient says of its sockets.
_SOCKETS = ("Listening on", "Sending on")
# What it says again and again, with another number each time.
_INTERVAL = re.compile(r" interval \d+$")
# What it says after the reason, whenever it gives up.
_BOILERPLATE = "If you think you have received this message due to a bug"


def clients(record: Record) -> list[DhcpClient]:
    """Return the DHCP clients that the VIF's addresses ask for."""
    methods = {fixed.method for fixed in record.vif.fixed_ips}
    versions = [version for method, version in (("dhcp", 4), ("dhcpv6", 6)) if method in methods]
    return [DhcpClient(nic=record.nic, version=version) for version in versions]


def start(record: Record, guest: Guest, spawner: Spawner) -> None:
    """Start what the VIF's addresses ask for and does not run yet, as a guest's boot does."""
    methods = {fixed.method for fixed in record.vif.fixed_ips}
    with netns.entered(guest.instance_id):
        if methods & {"slaac", "dhcpv6"}:
            sysctls = f"net/ipv6/conf/{record.nic}"
            netns.write_sysctl(f"{sysctls}/autoconf", "1" if "slaac" in methods else "0")
            # With DHCPv6 too: a default route comes by advertisements alone.
            netns.write_sysctl(f"{sysctls}/accept_ra", "1")
    for client in clients(record):
        if _pid(client, guest) is None:
            guest.pid_file(client.name).unlink(missing_ok=True)
            spawner.start_detached(guest, client.command(), log=guest.log(client.name))


def give_up(nic: str, guest: Guest) -> None:
    """Let a NIC ask for no address any more, and take nothing from router advertisements.

    With a client goes what it runs, which would set the address once more.
    """
    stop(nic, guest)
    deadline = time.monotonic() + _SCRIPT_S
    while (running := _scripts(nic, guest.instance_id)) and time.monotonic() < deadline:
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
    _hear_nothing(nic, guest.instance_id)


def _scripts(nic: str, instance_id: str) -> list[int]:
    """Return what runs of a DHCP client's script for a NIC, which has these in its environment."""
    found = []
    for pid in processes.inside(netns.identity(instance_id)):
        # One that ended while we looked.
        with suppress(OSError):
            variables = Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
            names = {variable.partition(b"=")[0] for variable in variables}
            if f"interface={nic}".encode() in variables and b"reason" in names:
                found.append(pid)
    return found


def _hear_nothing(nic: str, instance_id: str) -> None:
    with netns.entered(instance_id):
        for name in ("accept_ra", "autoconf"):
            netns.write_sysctl(f"net/ipv6/conf/{nic}/{name}", "0")


def stop(nic: str, guest: Guest) -> None:
    """Stop the DHCP clients of one NIC."""
    for version in (4, 6):
        client = DhcpClient(nic=nic, version=version)
        pid = _pid(client, guest)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            # It may need a moment to end, and is none of the guest's any more.
            guest.pid_file(client.name).unlink(missing_ok=True)


def other_processes(guest: Guest) -> dict[int, str]:
    """Return what runs in a VM beside the agent's own clients and probers: PID and command line."""
    found = {}
    for pid, command in processes.inside(netns.identity(guest.instance_id)).items():
        # One that ended while we looked.
        with suppress(OSError):
            line = Path("/proc", str(pid), "cmdline").read_bytes()
            if command not in _OWN_COMMANDS and not _OWN_CLIENT.search(line):
                words = line.replace(b"\0", b" ").decode(errors="replace").strip()
                found[pid] = words[:_COMMAND_MAX] or command
    return found


def wait(
    record: Record, guest: Guest, *, timeout: float, deadline: float, stop: threading.Event
) -> list[str]:
    """Wait until the VIF's addresses are on its NIC; return all that are on it.

    Raises WaitTimeoutError naming those that are missing, with the client's last words;
    NotFoundError, where the VIF is unplugged meanwhile, and UnavailableError after `stop`.
    """
    expected = {
        ipaddress.ip_address(fixed.ip_address): fixed
        for fixed in record.vif.fixed_ips
        if fixed.method != "none"
    }
    solicits = any(fixed.method in ("slaac", "dhcpv6") for fixed in expected.values())

    def satisfied(found: list[Address]) -> bool:
        return expected.keys() <= {address.value.ip for address in found if address.ready}

    def nudge(found: list[Address]) -> None:
        # The kernel solicits only when a link comes up, which was when the VIF was plugged.
        if solicits and any(address.link_local and address.ready for address in found):
            ip.solicit_router(record.nic)

    with netns.entered(guest.instance_id):
        found = ip.wait_until_addresses(
            record.nic, satisfied, deadline=deadline, nudge=nudge, stop=stop
        )
    if not satisfied(found):
        ready = {address.value.ip for address in found if address.ready}
        missing = [fixed for value, fixed in expected.items() if value not in ready]
        duplicates = {str(address.value.ip) for address in found if address.duplicate}
        raise WaitTimeoutError(
            f"{', '.join(_complaint(fixed, duplicates) for fixed in missing)} not on {record.nic} "
            f"of VM {record.vm.name} after {timeout:g} s{_last_words(record, guest)}",
            hint=f"fakevm exec {record.vif.port_id} -- {_by_hand(record.nic, missing)}",
        )
    return [str(address.value) for address in found if not address.link_local]


def _by_hand(nic: str, missing: list[FixedIp]) -> str:
    """Return the command that asks for the first address that is missing."""
    # Of the same DUID as the client's: the server has the address for that one alone.
    options = DHCPV6 if missing[0].method == "dhcpv6" else ()
    return " ".join(("dhclient", *options, "-v", nic))


def _complaint(fixed: FixedIp, duplicates: set[str]) -> str:
    note = ", a duplicate" if fixed.ip_address in duplicates else ""
    return f"{fixed.ip_address} ({fixed.method}{note})"


def _last_words(record: Record, guest: Guest) -> str:
    words = ""
    for client in clients(record):
        with suppress(FileNotFoundError):
            text = guest.log(client.name).read_text(errors="replace")
            words += f"; {client.name}: {last_words(text) or 'said nothing'}"
    return words


def last_words(said: str) -> str:
    """Return the last of what dhclient said, each line once."""
    lines = said.partition(_BOILERPLATE)[0].splitlines()
    told = (line.strip() for line in lines if not line.startswith(_SOCKETS))
    different = dict.fromkeys(_INTERVAL.sub("", line) for line in told if line)
    return " / ".join(list(different)[-_LAST_WORDS:])


def _pid(client: DhcpClient, guest: Guest) -> int | None:
    """Return the PID of a client that runs."""
    if not netns.exists(guest.instance_id):
        return None
    with suppress(FileNotFoundError, ValueError):
        pid = int(guest.pid_file(client.name).read_text())
        # The number may be another process's by now.
        if processes.inside(netns.identity(guest.instance_id)).get(pid) == "dhclient":
            return pid
    return None
