"""A migration while it runs, as who waits for it is shown it."""

from __future__ import annotations

from dataclasses import dataclass

from fakevm.probes.tally import FlowNow


@dataclass(frozen=True, kw_only=True)
class Look:
    """A migration at one moment."""

    # The VM's name.
    vm: str
    # The step that is carried out, and for how long; "": none is.
    step: str
    actor: str
    seconds: float
    # What its probers see, in the order of the flows; empty, where nobody probes.
    flows: tuple[FlowNow, ...] = ()
