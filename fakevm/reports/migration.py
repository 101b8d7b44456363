"""A migration as it was seen: values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fakevm.backends.backend import PortFact
from fakevm.clients.events import WaitEnd
from fakevm.model import Entry
from fakevm.neutron.values import HttpRequest
from fakevm.protocol.journal import StepTime

# "revert": back from a cold migration that is not confirmed.
MoveKind = Literal["live", "cold", "evacuate", "revert"]
MoveOutcome = Literal["moved", "unsettled", "rolled back", "failed"]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """When a migration's turning points were; seconds since the epoch, None: it had none."""

    # The guest's last NIC was down at the source.
    paused: float | None = None
    # The first request about the binding that is activated was sent (Nova looks at it first), and
    # the last one's answer was there.
    activating: float | None = None
    activated: float | None = None
    # The guest's last NIC was up at the destination.
    resumed: float | None = None


@dataclass(frozen=True, kw_only=True)
class PortStatus:
    """A port's status in Neutron, from this time on."""

    time: float
    port_id: str
    status: str


@dataclass(frozen=True, kw_only=True)
class Split:
    """What a gap consists of, in ms: the first four sum to it. See `fakevm.probes.flows.split`."""

    # From the guest's pause to Neutron's answer to `activate`.
    activate_ms: float
    # From that answer to the first packet by the new path.
    path_ms: float
    # Before the pause, while nobody sent: who probes gets no CPU on a busy machine.
    unsent_ms: float
    # The rest, which none of these explains.
    own_ms: float
    # What fakevm itself took of the first two: from the pause to the request to activate, and from
    # its answer until the guest ran.
    handling_ms: float


@dataclass(frozen=True, kw_only=True)
class Samples:
    """When a flow's packets were sent, and received or lost; seconds since the epoch, in order.

    A packet that was lost stands with the time when it was sent.
    """

    sent: tuple[float, ...] = ()
    received: tuple[float, ...] = ()
    lost: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FlowReport:
    """What became of one flow's packets; see `fakevm.probes.flows` for the definitions."""

    flow: str
    kind: Literal["udp", "icmp"]
    # Of an echo, the direction of its request.
    direction: Literal["to-vm", "from-vm"]
    # The prober, as the user named it.
    peer: str
    address: str
    peer_address: str
    sent: int
    lost: int
    duplicated: int
    reordered: int
    longest_gap_ms: float
    # The receptions before and after the longest gap; None: there was none.
    gap_start: float | None = None
    gap_end: float | None = None
    # The step in which the gap began, "" if it was outside of all.
    gap_step: str = ""
    # Nothing came any more: the gap is at least that long.
    gap_open: bool = False
    # The first reception by the new path, and how long after the guest ran there it was.
    first_new_path: float | None = None
    new_path_ms: float | None = None
    # None where the gap is not the one of the guest's pause.
    split: Split | None = None
    samples: Samples = Samples()


@dataclass(frozen=True, kw_only=True)
class MigrationReport:
    """A migration with all that was seen meanwhile; times are seconds since the epoch."""

    lab: str
    vm: str
    instance_id: str
    kind: MoveKind
    source: str
    destination: str
    neutron_version: str
    port_ids: tuple[str, ...]
    started: float
    ended: float
    # "moved": it arrived. "unsettled": it arrived, but what a move waits for at last did not come.
    # "rolled back": it stayed where it was. "failed": neither is certain.
    outcome: MoveOutcome = "moved"
    error: str = ""
    # As people say it: "ML2/OVS, vxlan, l2population".
    backend: str = ""
    steps: tuple[StepTime, ...] = ()
    moments: Moments = Moments()
    # How the wait for network-vif-plugged ended; None: in an error, or there was none.
    waited: WaitEnd | None = None
    statuses: tuple[PortStatus, ...] = ()
    # What the backend says of where the ports are, those of ML2/OVN: see `backends.southbound`.
    facts: tuple[PortFact, ...] = ()
    events: tuple[Entry, ...] = ()
    flows: tuple[FlowReport, ...] = ()
    # Packets a second in each flow; 0: nobody probed.
    rate: float = 0.0
    # The guest's processes that could not move: pid and command.
    processes: Mapping[str, str] = field(default_factory=dict)
    requests: tuple[HttpRequest, ...] = ()
