"""Which lines of a container's log explain why it is not well."""

from __future__ import annotations

import re

# As oslo.log, MariaDB, RabbitMQ, s6 and Python's tracebacks have it.
_ERROR = re.compile(r"\b(ERROR|CRITICAL|FATAL|fatal|Traceback)\b|\[error\]|\w(Error|Exception):")

# What Open vSwitch says of a busy machine.
_NOISE = re.compile(r"\|timeval(\(\w+\))?\|")


def telling(log: str, *, lines: int) -> str:
    """Return so many lines at most: those around the last error, or the last ones."""
    said = [line for line in log.rstrip().splitlines() if not _NOISE.search(line)]
    errors = [number for number, line in enumerate(said) if _ERROR.search(line)]
    # What follows an error may be its consequence; before it is what led there.
    end = min(len(said), errors[-1] + 1 + lines // 3) if errors else len(said)
    return "\n".join(said[max(0, end - lines) : end])
