"""A flow as it was asked for, when its packets are due, and what became of them."""

import math
import socket

_RATE = 100.0
_RATE_MAX = 10_000.0
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_ROLES = ("send", "receive", "ping")
_KINDS = ("udp", "icmp")


class Slots:
    """When a flow's packets are due."""

    def __init__(self, *, t0: float, rate: float, now: float) -> None:
        self._t0 = t0
        self._rate = rate
        # The next whole one: the one that runs was another sender's, or nobody's.
        self._next = max(0, math.ceil((now - t0) * rate))

    def due(self) -> float:
        """Return when the next packet is due."""
        return self._t0 + self._next / self._rate

    def take(self, now: float) -> int | None:
        """Return the number of the packet that is due now, and go on to the next; None: not yet."""
        if now < self.due():
            return None
        seq = max(self._next, math.floor((now - self._t0) * self._rate))
        self._next = seq + 1
        return seq


class Flow:
    """One flow's end, as stdin asked for it; raises ValueError where that makes no sense."""

    def __init__(self, order: dict[str, object], *, now: float, host: str) -> None:
        self.id = _text(order, "flow")
        self.role = _text(order, "role", among=_ROLES)
        self.kind = _text(order, "kind", among=_KINDS)
        self.address = _text(order, "address")
        self.version = 6 if ":" in self.address else 4
        _check_address(self.address, self.version)
        self.port = int(_number(order, "port", 0, 0, 65535))
        self.run = str(order.get("run", ""))
        self.host = str(order.get("host", host))
        if (self.role, self.kind) == ("ping", "udp"):
            raise ValueError(f"flow {self.id}: a ping is icmp")
        if self.kind == "udp" and not self.port:
            raise ValueError(f"flow {self.id}: udp needs a port")
        rate = _number(order, "rate", _RATE, 0.001, _RATE_MAX)
        t0 = _number(order, "t0", now, 0, math.inf)
        self.slots = None if self.role == "receive" else Slots(t0=t0, rate=rate, now=now)
        self.sent: list[tuple[int, float]] = []
        self.received: list[tuple[int, float, float, str]] = []

    def report(self) -> dict[str, object] | None:
        """Return what is new, once; None: nothing."""
        if not self.sent and not self.received:
            return None
        told: dict[str, object] = {"flow": self.id}
        if self.sent:
            told["sent"] = self.sent
        if self.received:
            told["received"] = self.received
        self.sent, self.received = [], []
        return told


def _check_address(address: str, version: int) -> None:
    # A name would be looked up at each send.
    try:
        socket.inet_pton(FAMILY[version], address)
    except OSError as error:
        raise ValueError(f"address: {address!r:.80} is not one") from error


def _text(order: dict[str, object], key: str, *, among: tuple[str, ...] = ()) -> str:
    value = order.get(key)
    if not isinstance(value, str) or (among and value not in among):
        raise ValueError(f"{key}: expected {' or '.join(among) or 'a text'}, not {value!r:.80}")
    return value


def _number(
    order: dict[str, object], key: str, default: float, lowest: float, highest: float
) -> float:
    value = order.get(key, default)
    if not isinstance(value, int | float) or not lowest <= value <= highest:
        raise ValueError(f"{key}: expected a number from {lowest} to {highest}, not {value!r:.80}")
    return value
