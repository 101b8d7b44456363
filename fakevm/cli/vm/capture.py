"""Packets of many points at once."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import click

import fakevm.capture
from fakevm.cli import complete
from fakevm.cli.session import SECONDS, Session, lab_option, pass_session, say
from fakevm.display import output
from fakevm.errors import ConfigError
from fakevm.protocol.interrupt import Terminated

if TYPE_CHECKING:
    from fakevm.capture.run import Capture, Total

# Instead of a file: stdout.
_STDOUT = Path("-")

# How often is looked whether somebody still reads.
_LOOK_S = 0.5


@click.command()
@click.option(
    "-w",
    "--write",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a pcapng file with an interface for each POINT; `-`: to stdout, as for"
    " `wireshark -k -i -`.  [default: a line a packet]",
)
@click.option(
    "--filter", "bpf", metavar="BPF", default="", help="Only these packets: pcap-filter(7)."
)
@click.option(
    "--for", "seconds", metavar="SECONDS", type=SECONDS, help="So long.  [default: until Ctrl-C]"
)
@click.option(
    "-c", "--count", metavar="COUNT", type=click.IntRange(min=1), help="So many packets in all."
)
@lab_option
@click.argument("refs", metavar="[POINT]...", nargs=-1, shell_complete=complete.points)
@pass_session
def capture(
    session: Session,
    *,
    refs: tuple[str, ...],
    file: Path | None,
    bpf: str,
    seconds: float | None,
    count: int | None,
) -> None:
    """Capture packets at many points at once, in the order of time.

    A POINT is a VM or VIF, seen at its NIC wherever it moves; HOST, its link to the others, where
    tunnels are seen; HOST:DEVICE or HOST:NETNS:DEVICE, as compute-1:br-int, network-1:qrouter-…:any
    (of a netns the beginning will do). Without any: all VMs, those to come, too, and all hosts.
    """
    sink = _sink(file)
    with session.lab() as lab:
        under_way = lab.capture(refs, to=sink, bpf=bpf, count=count)
        try:
            with under_way:
                say(f"capturing at {', '.join(under_way.names)}")
                _wait(under_way, seconds, reads=file in (None, _STDOUT))
        except BrokenPipeError:
            # Who reads has enough.
            pass
        _tell(under_way.totals)


def _wait(under_way: Capture, seconds: float | None, *, reads: bool) -> None:
    """Wait for the capture's end, the time's, the reader's or Ctrl-C, which is none of an error."""
    until = time.monotonic() + (seconds if seconds is not None else float("inf"))
    try:
        while (left := until - time.monotonic()) > 0:
            if under_way.wait(min(left, _LOOK_S)) or (reads and not output.is_read()):
                return
    except Terminated:
        raise
    except KeyboardInterrupt:
        return


def _sink(file: Path | None) -> fakevm.capture.sinks.Sink:
    if file is None:
        return fakevm.capture.sinks.LineSink(show=_Lines(), to=_stdout())
    if file != _STDOUT:
        return fakevm.capture.sinks.PcapngSink(file)
    if sys.stdout.isatty():
        raise ConfigError("pcapng is nothing for a terminal: give -w a file's name")
    return fakevm.capture.sinks.PcapngSink(_stdout())


def _stdout() -> BinaryIO:
    """Return our stdout without its buffer, which a reader that goes away would leave filled."""
    sys.stdout.flush()
    buffer = sys.stdout.buffer
    return cast(BinaryIO, getattr(buffer, "raw", buffer))


class _Lines:
    """Makes lines for stdout."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._colours: dict[str, str] = {}

    def __call__(self, name: str, time_ns: int, words: str) -> str:
        """Return a packet's line; a point keeps the colour that it got first."""
        head = output.visible(name)
        if self._terminal:
            head = output.coloured(head, name, self._colours)
        seconds, rest_ns = divmod(time_ns, 1_000_000_000)
        clock = datetime.fromtimestamp(seconds).strftime("%H:%M:%S")
        return f"{head} | {clock}.{rest_ns // 1000:06d} {output.visible(words)}"


def _tell(totals: list[Total]) -> None:
    """Say what came of each point."""
    width = max((len(total.point) for total in totals), default=0)
    for total in totals:
        lost = "" if total.dropped is None else f", {total.dropped} dropped by the kernel"
        say(f"{total.point.ljust(width)}  {total.packets} packets{lost}")
