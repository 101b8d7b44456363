"""fakevm-agent, the daemon in a compute host."""

import gc
import sys
import warnings

from fakevm_agent import asleep
from fakevm_agent.guest import spawner


def main() -> None:
    """Run the agent until SIGTERM, asleep while nobody asks it."""
    listener = asleep.slept()
    # Before anything heavy is imported and before there are threads: see spawner.
    pid, orders = spawner.start(listener)
    # It stands in the venv beside Neutron, and oslo.utils looks whether it can be imported.
    warnings.filterwarnings("ignore", message="\\s*Eventlet is deprecated")
    # Of what is imported nothing is garbage; to look for it takes a tenth of the time.
    gc.disable()
    # Only now: the spawner was to be forked without it.
    from fakevm_agent.agent import run

    gc.freeze()
    gc.enable()
    # Of two busy threads one would hold up the other for 5 ms, a quarter of what a plug takes.
    sys.setswitchinterval(0.0005)
    idle = run(sys.argv[1:], spawner_pid=pid, orders=orders, slept=listener)
    if idle:
        asleep.fall_asleep(idle)


if __name__ == "__main__":
    main()
