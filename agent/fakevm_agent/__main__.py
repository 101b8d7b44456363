"""fakevm-agent, the daemon in a compute host."""

import sys

from . import spawner


def main() -> None:
    """Run the agent until SIGTERM."""
    # Before anything heavy is imported and before there are threads: see spawner.
    pid, orders = spawner.start()
    from .agent import run

    sys.exit(run(sys.argv[1:], spawner_pid=pid, orders=orders))


if __name__ == "__main__":
    main()
