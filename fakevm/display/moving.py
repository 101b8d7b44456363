"""A migration while it runs, as lines."""

from __future__ import annotations

from fakevm import reports
from fakevm.display import output
from fakevm.migrate.look import Look
from fakevm.probes.tally import FlowNow

_HEADS = ("flow", "packets/s", "lost", "silent")

# So long nothing comes of a flow without that it is worth a word.
_SILENT_MS = 100


def lines(look: Look) -> list[str]:
    """Return the flows with what they have lost so far, and the step that is carried out."""
    rows = [_HEADS, *(_row(look.vm, flow) for flow in look.flows)] if look.flows else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    if look.step:
        return [*shown, f"{look.step} ({look.actor})  {look.seconds:.1f} s"]
    return [*shown, "waiting for what is under way"] if look.flows else []


def _row(vm: str, now: FlowNow) -> tuple[str, ...]:
    name = output.visible(reports.words.flow_name({"vm": vm}, vars(now.flow)))
    silent = f"{now.silent_ms:.0f} ms" if now.silent_ms >= _SILENT_MS else "-"
    return name, str(now.per_second), str(now.lost), silent
