"""What a VM has of its own in the file system: name, resolver, leases, /run."""

import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fakevm.errors import NotFoundError
from fakevm.model import Vm

# With a DUID of the MAC alone. dhclient's default has the time in it: it would be another one with
# each boot, since no lease is kept, and the server has the address for the first.
DHCPV6 = ("-6", "-D", "LL")

_HOSTNAME_MAX = 63
_CARRIED_MAX = 64 * 1024
_CARRIED = re.compile(r"resolv\.conf|dhcp/\w[\w.-]*\.leases")
_LEASED_BY = re.compile(r'interface "([^"]*)";')

# Short intervals: the server is in the lab. What is asked for is what Debian's own file asks for.
_DHCLIENT_CONF = """\
option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
send host-name = gethostname();
request subnet-mask, broadcast-address, time-offset, routers, domain-name, domain-name-servers,
        domain-search, host-name, dhcp6.name-servers, dhcp6.domain-search, dhcp6.fqdn,
        interface-mtu, rfc3442-classless-static-routes;
timeout 300;
retry 2;
initial-interval 1;
backoff-cutoff 3;
"""

# dhclient -6 ends at once where the NIC's link-local address is not ready yet, a second after boot.
_WHEN_READY = """\
until ip -o -6 address show dev "$1" scope link -tentative | grep -q .; do sleep 0.1; done
shift; exec "$@"
"""


def hostname(vm: Vm) -> str:
    """Return the VM's name as a host's name may be (RFC 1123)."""
    name = re.sub("[^a-z0-9-]+", "-", vm.name.lower())[:_HOSTNAME_MAX].strip("-")
    return name or f"vm-{vm.instance_id[:8]}"


def is_carried(name: str) -> bool:
    """Tell whether a file of this path in a VM's folder moves with the guest."""
    return bool(_CARRIED.fullmatch(name))


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A VM's folder. It lives as long as the VM's netns; nothing in it is kept for later."""

    instance_id: str
    directory: Path

    def create(self, vm: Vm) -> None:
        """Make the folder anew."""
        self.delete()
        for folder in ("run/lock", "dhcp", "log"):
            (self.directory / folder).mkdir(parents=True)
        name = hostname(vm)
        texts = {
            "dhclient.conf": _DHCLIENT_CONF,
            "hostname": f"{name}\n",
            "hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost\n",
            "resolv.conf": "",
        }
        for file, text in texts.items():
            (self.directory / file).write_text(text)

    def delete(self) -> None:
        """Remove the folder; content if it is gone."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def hostname(self) -> str:
        """Return the name that the VM got when it was made."""
        try:
            return (self.directory / "hostname").read_text().strip()
        except FileNotFoundError as error:
            raise NotFoundError(
                f"this host has no VM {self.instance_id}", hint="fakevm list"
            ) from error

    def files(self) -> list[tuple[Path, str]]:
        """Return what is mounted over the host's files for every process of the VM."""
        return [
            (self.directory / "dhclient.conf", "/etc/dhcp/dhclient.conf"),
            (self.directory / "hostname", "/etc/hostname"),
            (self.directory / "hosts", "/etc/hosts"),
            (self.directory / "resolv.conf", "/etc/resolv.conf"),
            (self.directory / "dhcp", "/var/lib/dhcp"),
            # The last, since it hides this folder itself.
            (self.directory / "run", "/run"),
        ]

    def carried(self) -> dict[str, str]:
        """Return what moves with the guest, by path in the folder: its leases, its resolver."""
        found = {}
        for path in [self.directory / "resolv.conf", *self.directory.glob("dhcp/*.leases")]:
            with suppress(OSError):
                text = path.read_text(errors="replace")[-_CARRIED_MAX:]
                if text:
                    found[str(path.relative_to(self.directory))] = text
        return found

    def take_over(self, files: Mapping[str, str], *, nics: Mapping[str, str]) -> None:
        """Write what the guest brings along; `nics` are its NICs' names here by those there."""
        for name, text in files.items():
            stem, dot, nic = name.removesuffix(".leases").partition(".eth")
            there = f"{stem}.{nics.get(f'eth{nic}', f'eth{nic}')}.leases" if dot else name
            said = _LEASED_BY.sub(lambda m: f'interface "{nics.get(m[1], m[1])}";', text)
            (self.directory / there).write_text(said)

    def keep(self, state: str) -> None:
        """Write down what the guest has, until it goes on."""
        self._kept.write_text(state)

    def kept(self) -> str | None:
        """Return what was written down, if anything was."""
        return self._kept.read_text() if self._kept.exists() else None

    def forget(self) -> None:
        """Remove what was written down."""
        self._kept.unlink(missing_ok=True)

    @property
    def _kept(self) -> Path:
        return self.directory / "suspended.json"

    def log(self, client: str) -> Path:
        """Return the file with a client's output."""
        return self.directory / "log" / client

    def pid_file(self, client: str) -> Path:
        """Return a client's PID file as the host sees it."""
        return self.directory / "run" / f"{client}.pid"


@dataclass(frozen=True, kw_only=True)
class DhcpClient:
    """A DHCP client of one NIC: dhclient, for IPv4 or IPv6."""

    nic: str
    version: int

    @property
    def name(self) -> str:
        """The client's name, of which its files are named, as ifupdown names them."""
        return f"dhclient{'6' if self.version == 6 else ''}.{self.nic}"

    def command(self) -> list[str]:
        """Return what runs it in the foreground, saying what it does."""
        # These paths are the ones that Debian's AppArmor profile of dhclient allows.
        command = [
            "dhclient",
            *(DHCPV6 if self.version == 6 else ["-4"]),
            "-d",
            "-v",
            "-pf",
            f"/run/{self.name}.pid",
            "-lf",
            f"/var/lib/dhcp/{self.name}.leases",
            self.nic,
        ]
        return command if self.version == 4 else ["sh", "-c", _WHEN_READY, "sh", self.nic, *command]
