"""The files of evidence: what they are called and what stands in them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from fakevm.evidence import timeline, words
from fakevm.evidence.asking import as_json
from fakevm.evidence.hosts import HostFound
from fakevm.evidence.values import File, Moment, Pair
from fakevm.labfile import source, starter
from fakevm.labfile.save import Saved
from fakevm.logs.lines import Line
from fakevm.model import Entry
from fakevm.trace.values import Trace


def of_way(pair: Pair, found: Trace) -> Iterator[File]:
    """Yield a packet's way as text and as JSON."""
    name = f"trace/{_safe(pair.stem)}"
    said = [str(pair), *words.way(found), found.verdict]
    yield File(name=f"{name}.txt", text=text_of(said))
    yield File(name=f"{name}.json", text=as_json(asdict(found)))


def of_logs(lines: Iterable[Line], *, supervised: bool) -> Iterator[File]:
    """Yield the lines of one container, a file for each of its processes if it has several."""
    found: dict[str, list[str]] = {}
    container = ""
    for line in lines:
        container = line.container
        found.setdefault(line.process, []).append(f"{line.time} {line.text}")
    for process, said in found.items():
        # "": what the container itself says.
        place = f"{container}/{process or 'container'}" if supervised else container
        yield File(name=f"logs/{place}.log", text=text_of(said))


def of_events(entries: Iterable[Entry]) -> File:
    """Return Neutron's events and fakevm's steps, a line each."""
    said = (json.dumps(asdict(entry), ensure_ascii=False) for entry in entries)
    return File(name="events.jsonl", text=text_of(said))


def of_moments(moments: Sequence[Moment], since: float) -> File:
    """Return the whole time line."""
    return File(name="timeline.txt", text=text_of(timeline.shown(moments, since)))


def of_lab(saved: Saved) -> File:
    """Return what there is as a lab file."""
    unsaid = "".join(f"# a lab file has no words for {one}\n" for one in saved.unsaid)
    return File(name="lab.yaml", text=starter.modeline() + unsaid + source.written(saved.values))


def of_missing(missing: Mapping[str, str]) -> Iterator[File]:
    """Yield what could not be had, and why, if anything."""
    if missing:
        yield File(name="missing.txt", text=text_of(f"{k}: {why}" for k, why in missing.items()))


def of_host(host: str, found: HostFound) -> Iterator[File]:
    """Yield what a host has."""
    for name, text in found.texts.items():
        yield File(name=f"hosts/{host}/{name}", text=text)


def of_values(name: str, value: object) -> File:
    """Return values as JSON that a person can read, too."""
    return File(name=name, text=as_json(value))


def text_of(lines: Iterable[str]) -> str:
    """Return lines as a text."""
    return "".join(f"{line}\n" for line in lines)


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)
