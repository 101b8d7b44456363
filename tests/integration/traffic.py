"""Traffic that runs in a VM while something else happens, started past fakevm and its agent."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.integration.hosts import Host
from tests.waiting import wait_until

REPLY = re.compile(r"^\d+ bytes from .*icmp_seq=(\d+) ", re.MULTILINE)
# ping -O says this when it sends the next request and the last one has no answer yet.
NO_REPLY = re.compile(r"^no answer yet for icmp_seq=(\d+)$", re.MULTILINE)


class Ping:
    """A ping of ten requests a second from a VM's netns; its replies can be read meanwhile."""

    def __init__(self, host: Host, netns: str, address: str) -> None:
        self._host = host
        self._output = tempfile.NamedTemporaryFile("r")  # noqa: SIM115 (closed in __exit__)
        ping = f"ip netns exec {netns} ping -n -O -i 0.1 {address}"
        with Path(self._output.name).open("w") as output:
            self._process = subprocess.Popen(
                # Its first line is its process id in the host, to stop it by.
                ("docker", "exec", host.container, "sh", "-c", f"echo $$; exec {ping}"),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        wait_until("a first reply", self.replies)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()
        self._output.close()

    def replies(self) -> list[int]:
        return sorted({int(seq) for seq in REPLY.findall(self._text())})

    def last_sent(self) -> int:
        """Return the last request known to be sent: answered, or marked as not answered yet."""
        text = self._text()
        return max(map(int, REPLY.findall(text) + NO_REPLY.findall(text)), default=0)

    def wait_for_replies(self, count: int) -> list[int]:
        """Return the next `count` replies to requests that are sent from now on."""
        mark = self.last_sent() + 1

        def newer() -> list[int]:
            return [seq for seq in self.replies() if seq > mark]

        wait_until(f"{count} more replies", lambda: len(newer()) >= count)
        return newer()[:count]

    def wait_for_silence(self, count: int = 15) -> None:
        """Wait until the last `count` requests have no reply."""

        def silent() -> bool:
            return self.last_sent() - max(self.replies(), default=0) >= count

        wait_until(f"{count} requests without a reply", silent)

    def stop(self) -> list[int]:
        """End it; return the requests that got no reply, but for one that was on its way."""
        if self._process.poll() is None:
            pid = self._text().split(maxsplit=1)[0]
            self._host.run("kill", "-INT", pid, check=False)
            self._process.wait(timeout=30)
        replies = self.replies()
        return sorted(set(range(1, max(replies, default=0) + 1)) - set(replies))

    def _text(self) -> str:
        return Path(self._output.name).read_text()


def gaps(lost: list[int]) -> list[tuple[int, int]]:
    """Return the runs of lost requests as (first, last)."""
    runs: list[tuple[int, int]] = []
    for seq in lost:
        if runs and seq == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], seq)
        else:
            runs.append((seq, seq))
    return runs


def is_felt(lost: list[int]) -> bool:
    """Tell whether more than one request was lost.

    One may be: Open vSwitch's userspace datapath stands still for a moment as ports come and go.
    """
    return len(lost) > 1


def is_contiguous(sequence: list[int]) -> bool:
    return sequence == list(range(sequence[0], sequence[0] + len(sequence)))
