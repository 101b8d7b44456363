"""W: a VM asks for its metadata by IPv6, and the answers' checksums are wrong."""

from __future__ import annotations

from fakevm.neutron.values import Network, Port
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage

# RFC 3849.
IPV6 = {
    "cidr": "2001:db8::/64",
    "ip_version": 6,
    "ipv6_ra_mode": "dhcpv6-stateful",
    "ipv6_address_mode": "dhcpv6-stateful",
}

# How long the first VM of a network may have to wait.
ANSWERED_S = 10.0

_URL = "http://[fe80::a9fe:a9fe%25eth0]/openstack/latest/meta_data.json"
_ASK = ("curl", "-fsS", "--max-time", "2", _URL)

# What the agent has for IPv4 (agent/ovn/metadata/agent.py, _ensure_datapath_checksum).
_FILL = ("-t", "mangle", "-A", "POSTROUTING", "-p", "tcp", "-j", "CHECKSUM", "--checksum-fill")


def run(stage: Stage) -> Finding:
    """Let a VM of a network of IPv6 alone ask for its metadata, with and without checksums."""
    host, _ = stage.hosts
    network = stage.network(IPV6)
    vm = stage.vm(network, "vm", host)
    seconds = _told_after(stage, vm)
    filled = None
    if seconds is None:
        _fill_checksums_in(stage, network, host)
        filled = _told_after(stage, vm)
    return judge(told_after_s=seconds, with_checksums_after_s=filled)


def judge(*, told_after_s: float | None, with_checksums_after_s: float | None) -> Finding:
    """Return after how long a VM was told its metadata; None: not in time."""
    measured: dict[str, object] = {"told_after_s": told_after_s}
    if told_after_s is not None:
        words = f"The VM was told its metadata by IPv6 after {told_after_s} s."
        return Finding(fault=False, words=words, measured=measured)
    measured["told_with_checksums_after_s"] = with_checksums_after_s
    healed = "not even" if with_checksums_after_s is None else f"{with_checksums_after_s} s"
    words = (
        f"The VM was not told its metadata by IPv6 within {ANSWERED_S:.0f} s; it was {healed} after"
        " the answers' checksums were filled in."
    )
    return Finding(fault=True, words=words, measured=measured)


def _told_after(stage: Stage, vm: Port) -> float | None:
    stage.say("asking for the metadata by IPv6")
    return stage.seconds_until(
        lambda: vm.device_id in stage.tried_in_vm(vm, *_ASK)[1], within_s=ANSWERED_S
    )


def _fill_checksums_in(stage: Stage, network: Network, host: str) -> None:
    """Do for IPv6 what the metadata agent does for IPv4, in its namespace, if it has one there.

    The namespace goes with the network's last VM.
    """
    stage.say(f"ip6tables {' '.join(_FILL)}")
    inside = 'test ! -e "/run/netns/$1" || exec ip netns exec "$@"'
    argv = (f"ovnmeta-{network.id}", "ip6tables", *_FILL)
    stage.in_service(host, "sh", "-c", inside, "-", *argv)


SCENARIO = Scenario(
    name="ipv6-metadata",
    letter="W",
    title="a VM is not told its metadata by IPv6",
    shows=(
        "On Open vSwitch's userspace datapath what leaves the metadata agent's namespace has no"
        " checksum of TCP, and a VM drops it. The agent has checksums filled in by iptables there,"
        " of IPv4 alone (agent/ovn/metadata/agent.py, _ensure_datapath_checksum): a VM that asks"
        " fe80::a9fe:a9fe gets no answer."
    ),
    reference="what the fix of LP #1904871 has left out",
    expects="The VM is told its metadata within seconds.",
    run=run,
)
