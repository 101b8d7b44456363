"""J: between its plug and the L2 agent's wiring, a VIF is in every network of its host."""

from __future__ import annotations

import time

from fakevm.errors import FakevmError
from fakevm.scenarios.faults import frames
from fakevm.scenarios.scenario import Finding, Scenario
from fakevm.scenarios.stage import Stage

# How long is listened on after the port is ACTIVE.
AFTER_S = 1.0


def run(stage: Stage) -> Finding:
    """Attach a NIC to a VM that listens, while one of another network, on the same host, talks."""
    host, _ = stage.hosts
    theirs, ours = stage.network(), stage.network()
    talker = stage.vm(theirs, "talker", host)
    witness = stage.vm(theirs, "witness", host)
    listener = stage.vm(ours, "listener", host)
    listen = frames.listen(talker.mac_address)
    with (
        stage.running(witness, *listen) as heard_by_witness,
        stage.running(listener, *listen) as heard,
        stage.running(talker, *frames.talk(talker.mac_address, to=frames.ALL)),
    ):
        # Besides "ready", and a first frame.
        if stage.seconds_until(lambda: heard and len(heard_by_witness) > 1) is None:
            raise FakevmError("what is sent to all of a network is not heard in it")
        before = len(heard) - 1
        stage.say("attaching another NIC to the listener")
        start = time.time()
        stage.vm(ours, "listener", host)
        time.sleep(AFTER_S)
    times = frames.times(heard)
    measured: dict[str, object] = {
        "frames_before": before,
        "frames_heard": len(times),
        "window_ms": round((times[-1] - times[0]) * 1000) if times else 0,
        "first_after_s": round(times[0] - start, 2) if times else None,
        "frames_in_their_own_network": len(heard_by_witness) - 1,
    }
    if not times:
        words = "The new NIC heard nothing of the other network."
        return Finding(fault=False, words=words, measured=measured)
    words = (
        f"The new NIC heard {len(times)} frames of another network, for {measured['window_ms']} ms."
    )
    return Finding(fault=True, words=words, measured=measured)


SCENARIO = Scenario(
    name="untagged-window",
    letter="J",
    title="a VIF that was just plugged hears the other networks of its host",
    shows=(
        "An OVS port has no VLAN until the L2 agent gives it one, and one without a VLAN is in all"
        " of them: a VM to which a NIC is attached can listen to other projects until then."
    ),
    reference="LP #1734320 (os-vif's isolate_vif), LP #2069543 (which leaves out a trunk's tap)",
    expects="A VIF hears nothing of networks that it is not in, from its plug on.",
    run=run,
    tries=3,
)
