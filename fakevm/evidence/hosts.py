"""A host's processes and its bridges' flows, asked for in one go."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fakevm.clients.containers import Container
from fakevm.evidence import asking

_MARK = "--- fakevm: "

# How long Open vSwitch may take for all of its answers.
OVS_S = asking.COMMAND_S - 2

# A heading of what Open vSwitch has not answered.
_SILENT = "silent"

# The age of the container, each supervised process with its state, NICs; then Open vSwitch.
_ASK = f"""
cd /run/services || exit
echo '{_MARK}processes'
echo "container true $(($(date +%s) - $(stat -c %Y /proc/1)))"
for one in *; do
    case $one in bridges | forkserver) continue ;; esac
    echo "$one $(s6-svstat -o up,updownfor "$one")"
done
echo '{_MARK}ip-addr.txt'
ip -d addr 2>&1
timeout {OVS_S} sh -c "$1" || echo '{_MARK}{_SILENT}'
"""

_ASK_OVS = f"""
echo '{_MARK}ovs-vsctl-show.txt'
ovs-vsctl show 2>&1
echo '{_MARK}ovs-vsctl-list-Interface.txt'
ovs-vsctl list Interface 2>&1
for bridge in $(ovs-vsctl list-br); do
    echo "{_MARK}flows-$bridge.txt"
    ovs-ofctl dump-flows "$bridge" 2>&1
    echo "{_MARK}ports-$bridge.txt"
    ovs-ofctl dump-ports-desc "$bridge" 2>&1
done
exit 0
"""


@dataclass(frozen=True, kw_only=True)
class Process:
    """A supervised process of a host."""

    name: str
    up: bool
    # Since it is so.
    seconds: int


@dataclass(frozen=True, kw_only=True)
class HostFound:
    """What a host has."""

    # When it was asked, in seconds since the epoch.
    time: float
    processes: tuple[Process, ...]
    # Its Open vSwitch has not answered all in time.
    silent: bool
    # By the name of their file.
    texts: Mapping[str, str]

    def down(self) -> Iterator[Process]:
        """Yield those that do not run."""
        return (one for one in self.processes if not one.up)

    def started_since(self, moment: float) -> Iterator[tuple[float, Process]]:
        """Yield those that were started since then, and not with the container; and when."""
        begun = {one.name: self.time - one.seconds for one in self.processes}
        if begun.pop("container", moment) < moment:
            for one in self.processes:
                if one.up and begun.get(one.name, 0) >= moment:
                    yield begun[one.name], one


def look(container: Container) -> HostFound:
    """Ask a host."""
    asked = time.time()
    return found(asking.said_in(container, ("sh", "-c", _ASK, "-", _ASK_OVS)), asked=asked)


def found(said: str, *, asked: float) -> HostFound:
    """Return what a host's answer means."""
    parts = [part.partition("\n") for part in said.split(_MARK)[1:]]
    texts = {name: text for name, _, text in parts}
    processes = [line.split() for line in texts.pop("processes", "").splitlines()]
    return HostFound(
        time=asked,
        silent=texts.pop(_SILENT, None) is not None,
        processes=tuple(
            Process(name=words[0], up=words[1] == "true", seconds=int(words[2]))
            for words in processes
            if len(words) == 3 and words[2].isdigit()
        ),
        texts=texts,
    )
