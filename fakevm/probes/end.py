"""One end of a probe: the program in a VM, and what it has told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from fakevm.clients.agents import Execution
from fakevm.errors import FakevmError

# In a host's image; agent/fakevm_agent/probe/ says what it reads and prints.
PROGRAM = "fakevm-probe"

# How long an end may take to print what it still has, once it was told to stop.
FLUSH_S = 2.0


# Number and time of a packet.
Record = tuple[int, float]


@dataclass
class Seen:
    """What one end has told of one flow so far."""

    sent: list[Record] = field(default_factory=list)
    received: list[Record] = field(default_factory=list)
    # How many of each were looked at.
    looked: dict[str, int] = field(default_factory=dict)

    def news(self, what: Literal["sent", "received"]) -> list[Record]:
        """Return what was told since the last call."""
        told = self.sent if what == "sent" else self.received
        begin, self.looked[what] = self.looked.get(what, 0), len(told)
        return told[begin:]


class Process:
    """One end: the program in a VM, and the thread that reads what it prints.

    `changed` guards what it has seen, and is notified of it.
    """

    def __init__(
        self,
        name: str,
        execution: Execution,
        told: Sequence[Mapping[str, Any]],
        seen: Mapping[str, Seen],
        changed: threading.Condition,
    ) -> None:
        self.name = name
        # Why it ended, if nobody told it to.
        self.problem = ""
        # Flows of which it has not yet said that its socket is open.
        self.silent = {order["flow"] for order in told}
        self._execution = execution
        self._seen = seen
        self._changed = changed
        self._stopped = False
        self._thread = threading.Thread(target=self._read, name=f"probe-{name}", daemon=True)
        self._thread.start()
        self._send(told)

    def ask_to_stop(self) -> None:
        """Let it print what it has, and end."""
        self._stopped = True
        with suppress(FakevmError):
            self._send([{"stop": True}])

    def join(self, timeout_s: float) -> None:
        """Wait until it has ended, or end it."""
        self._thread.join(timeout_s)
        stuck = self._thread.is_alive()
        self.close()
        if stuck:
            self.problem = f"{PROGRAM} has not ended by itself"

    def close(self) -> None:
        """End it if it still runs."""
        self._stopped = True
        if self._thread.is_alive():
            with suppress(FakevmError):
                self._execution.cancel()
            # Its end is told to the thread, as long as nobody has hung up.
            self._thread.join(FLUSH_S)
        self._execution.__exit__()

    def _send(self, lines: Iterable[Mapping[str, Any]]) -> None:
        self._execution.send(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    def _read(self) -> None:
        try:
            problem = self._read_to_the_end()
        except FakevmError as error:
            problem = str(error)
        except (ValueError, LookupError, TypeError) as error:
            problem = f"{PROGRAM} prints what nobody understands: {error!r}"
        with self._changed:
            self.problem = "" if self._stopped else problem
            self._changed.notify_all()

    def _read_to_the_end(self) -> str:
        rest, complaint = b"", b""
        for stream, data in self._execution.output():
            if stream == "stderr":
                complaint += data
                continue
            *lines, rest = (rest + data).split(b"\n")
            with self._changed:
                for line in lines:
                    self._take(json.loads(line))
                self._changed.notify_all()
        words = (
            f"{PROGRAM} ended with {self._execution.exit_code}",
            complaint.decode(errors="replace").strip(),
        )
        return ": ".join(filter(None, words))

    def _take(self, told: Mapping[str, Any]) -> None:
        if "flow" not in told:
            return
        seen = self._seen[told["flow"]]
        self.silent.discard(told["flow"])
        # More columns may follow.
        seen.sent.extend((seq, t) for seq, t, *_ in told.get("sent", ()))
        seen.received.extend((seq, t) for seq, t, *_ in told.get("received", ()))
