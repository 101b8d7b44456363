"""fakevm-probe, the program: `python -m fakevm_agent.probe`."""

import sys

from fakevm_agent.probe.prober import main

if __name__ == "__main__":
    sys.exit(main())
