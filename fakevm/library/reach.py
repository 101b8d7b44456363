"""Whether one VM reaches another: what is sent, what answers, and what is said if it should not."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

from fakevm.clients.agents import Execution
from fakevm.errors import ConfigError, ConflictError, FakevmError
from fakevm.evidence.values import Pair
from fakevm.inventory.between import between
from fakevm.lab import Lab
from fakevm.names import lab_words
from fakevm.neutron.values import Port

Protocol = Literal["icmp", "tcp", "udp"]

# How long an answer may take, each.
WAIT_S = 1.0

# How long a way may take to become as it should: agents wire what has changed within seconds.
WITHIN_S = 10.0

# After so many in a row without an answer nothing reaches.
SILENT = 3

# What a VM may take to begin, and to tell.
_GRACE_S = 60.0

# What listens: it answers each who comes with a word, by which it is known. It says when it is
# there, and goes by itself where nobody is left to end it.
LISTEN = """
import errno, signal, socket, sys
kind, address, port, word = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4].encode()
signal.alarm(int(sys.argv[5]))
family = socket.AF_INET6 if ":" in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
if kind == "tcp":
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    s.bind((address, port))
    if kind == "tcp":
        s.listen(16)
except OSError as error:
    print("taken" if error.errno == errno.EADDRINUSE else error.strerror, flush=True)
    sys.exit(0)
print("listening", flush=True)
while True:
    if kind == "udp":
        _, peer = s.recvfrom(64)
        s.sendto(word, peer)
        continue
    peer, _ = s.accept()
    with peer:
        peer.sendall(word)
"""

# What asks: until one answer came, or so many in a row did not, or the time is over. It says how
# often it asked, how many answered, and what came of the last one.
ASK = f"""
import socket, subprocess, sys, time
kind, address, port, word = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4].encode()
end, silent = time.monotonic() + float(sys.argv[5]), int(sys.argv[6])
family = socket.AF_INET6 if ":" in address else socket.AF_INET

def ask():
    if kind == "icmp":
        argv = ["ping", "-n", "-c1", "-W{WAIT_S:g}", address]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise OSError("Unreachable" if "nreachable" in done.stdout else "timed out")
        return
    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as s:
        s.settimeout({WAIT_S})
        s.connect((address, port))
        if kind == "udp":
            s.send(b"?")
        if word and s.recv(64) != word:
            raise OSError("somebody else answers")

asked, answered, quiet, last = 0, 0, 0, ""
while not asked or (time.monotonic() < end and quiet != silent and (silent or not answered)):
    began = time.monotonic()
    asked += 1
    try:
        ask()
        answered, quiet, last = answered + 1, 0, ""
    except OSError as error:
        quiet, last = quiet + 1, error.strerror or str(error)
    time.sleep(max(0, min(0.2, end - began)))
print(asked, answered, quiet, last)
"""


@dataclass(frozen=True, kw_only=True)
class End:
    """A VM as who sends or answers: a port of its, and its place."""

    name: str
    host: str
    port_id: str
    # By which it is asked.
    address: str = ""
    # Its own, where it is asked by another one, as a floating IP is.
    own: str = ""

    def __str__(self) -> str:
        return f"{self.name} on {self.host}"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How often was asked, and what came of it."""

    asked: int
    answered: int
    # Those without an answer since the last one with an answer.
    quiet: int
    # Of the last one, in words; "": it was answered.
    last: str = ""


class UnreachedError(FakevmError):
    """A VM does not reach another one, or does although it should not.

    What `Lab.trace` takes finds out why: source, target, protocol and port.
    """

    def __init__(
        self,
        message: str,
        *,
        pair: Pair,
        hint: str = "",
        source_host: str = "",
        target_host: str = "",
        address: str = "",
        asked: int = 0,
        answered: int = 0,
    ) -> None:
        super().__init__(message, hint=hint)
        # Of whom evidence is collected.
        self.pair = pair
        # The names of both VMs, and their hosts.
        self.source = pair.source
        self.target = pair.target
        self.source_host = source_host
        self.target_host = target_host
        # The target's, which was asked.
        self.address = address
        self.protocol = pair.protocol
        # None: of ping.
        self.port = pair.port
        # How often was asked, and how often answered.
        self.asked = asked
        self.answered = answered


def ends(
    source: str, sources: Sequence[Port], target: str, targets: Sequence[Port]
) -> tuple[End, End]:
    """Return by which of their NICs one VM reaches another: on a network of both, IPv4 first."""
    for name, ports in ((source, sources), (target, targets)):
        if not any(port.host for port in ports):
            raise ConfigError(f"VM {name} is on no host", hint=f"fakevm show {name}")
    found = between(sources, targets)
    if found is None:
        raise ConfigError(f"VM {target} has no address", hint=f"fakevm show {target}")
    mine, theirs, address = found
    return (
        End(name=source, host=mine.host, port_id=mine.id),
        End(name=target, host=theirs.host, port_id=theirs.id, address=address),
    )


def reaches(
    lab: Lab, source: End, target: End, protocol: Protocol, port: int | None, *, within_s: float
) -> None:
    """Ask until there is an answer; UnreachedError, where none came in time."""
    # pytest shows the test's own line instead.
    __tracebackhide__ = True
    with _answering(lab, target, protocol, port, within_s=within_s) as word:
        asked = _ask(lab, source, target, protocol, port, word, within_s=within_s, silent=0)
    if not asked.answered:
        raise _error(lab, source, target, protocol, port, f"does not reach {target}", asked)


def cannot_reach(
    lab: Lab, source: End, target: End, protocol: Protocol, port: int | None, *, within_s: float
) -> None:
    """Ask until nothing answers any more; UnreachedError, where something still does."""
    # pytest shows the test's own line instead.
    __tracebackhide__ = True
    with _answering(lab, target, protocol, port, within_s=within_s) as word:
        asked = _ask(lab, source, target, protocol, port, word, within_s=within_s, silent=SILENT)
    if asked.quiet < SILENT:
        raise _error(lab, source, target, protocol, port, f"reaches {target}", asked)


def unanswered(lab: Lab, source: End, target: End, sent: int, received: int) -> UnreachedError:
    """Return the error of pings that were not all answered."""
    asked = Asked(asked=sent, answered=received, quiet=0)
    return _error(lab, source, target, "icmp", None, f"has no answer from {target}", asked)


def check(protocol: Protocol, port: int | None) -> Protocol:
    """Return by which protocol is asked, if it goes with the port."""
    if protocol not in get_args(Protocol):
        raise ConfigError(f"{protocol!r} is no protocol here: icmp, tcp or udp is expected")
    if port is None and protocol == "udp":
        raise ConfigError("of udp a port is needed")
    if port is not None and (protocol == "icmp" or not 0 < port < 65536):
        raise ConfigError(f"{port} is no port of {protocol}")
    return "icmp" if port is None else protocol


@contextmanager
def _answering(
    lab: Lab, target: End, protocol: Protocol, port: int | None, *, within_s: float
) -> Iterator[str]:
    """Let something answer on a VM's port meanwhile; give the word that it says.

    No word, where something of the VM's own listens there already.
    """
    if port is None:
        yield ""
        return
    word = secrets.token_hex(8)
    lifetime = str(round(within_s + _GRACE_S))
    here = target.own or target.address
    argv = ("python3", "-c", LISTEN, protocol, here, str(port), word, lifetime)
    with lab.agent(target.host).execute(target.port_id, argv) as listener:
        said = _first_line(listener)
        if said == "taken" and protocol == "udp":
            # Whether it would say anything, nobody knows.
            raise ConflictError(f"VM {target}: something listens on port {port} by udp already")
        if said not in ("listening", "taken"):
            where = f"{here} port {port}"
            raise FakevmError(f"VM {target}: nothing can listen on {where}: {said}")
        yield word if said == "listening" else ""


def _first_line(running: Execution) -> str:
    said = b""
    for _, piece in running.output():
        said += piece
        if b"\n" in said:
            break
    return said.decode(errors="replace").strip()


def _ask(
    lab: Lab,
    source: End,
    target: End,
    protocol: Protocol,
    port: int | None,
    word: str,
    *,
    within_s: float,
    silent: int,
) -> Asked:
    words = (protocol, target.address, str(port or 0), word, f"{within_s:g}", str(silent))
    agent = lab.agent(source.host)
    argv = ("python3", "-c", ASK, *words)
    with agent.execute(source.port_id, argv, timeout_s=within_s + _GRACE_S) as running:
        said = b"".join(piece for _, piece in running.output()).decode(errors="replace")
    try:
        asked, answered, quiet, *last = said.strip().split(" ", 3)
        return Asked(asked=int(asked), answered=int(answered), quiet=int(quiet), last="".join(last))
    except ValueError as error:
        raise FakevmError(f"VM {source} could not ask: {said.strip()}") from error


def _error(
    lab: Lab,
    source: End,
    target: End,
    protocol: Protocol,
    port: int | None,
    what: str,
    asked: Asked,
) -> UnreachedError:
    """Return what both ends, what was counted and the command that finds the reason make."""
    by = f" port {port} by {protocol}" if port else " by ping"
    last = f" (the last one: {asked.last})" if asked.last and not asked.answered else ""
    more = f" --proto {protocol} --port {port}" if port else ""
    hint = f"fakevm {lab_words(lab.name)}trace {source.name} {target.name}{more}"
    if target.own:
        # No trace follows a router's way to the outside.
        hint = f"fakevm {lab_words(lab.name)}openstack floating ip show {target.address}"
    error = UnreachedError(
        f"VM {source} {what} ({target.address}){by}:"
        f" {asked.answered} of {asked.asked} were answered{last}",
        pair=Pair(source=source.name, target=target.name, protocol=protocol, port=port),
        hint=hint,
        source_host=source.host,
        target_host=target.host,
        address=target.address,
        asked=asked.asked,
        answered=asked.answered,
    )
    # A traceback shows no hint.
    error.add_note(hint)
    return error
