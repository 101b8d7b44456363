"""Packets of many points: out of pcap, in order, into pcapng or words; relays and their end."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from fakevm.capture import pcapng, points, relay, tcpdump
from fakevm.capture import run as running
from fakevm.capture.find import wanted
from fakevm.capture.frames import Frame, Frames
from fakevm.capture.merge import Merge, Seen
from fakevm.capture.packets import LineReader, Packet, PcapReader
from fakevm.capture.points import Point
from fakevm.capture.run import Capture
from fakevm.capture.sinks import LineSink, PcapngSink
from fakevm.clients.containers import Container
from fakevm.clients.process import ProcessStream
from fakevm.errors import ConfigError, ConflictError, FakevmError, NotFoundError, UnavailableError
from fakevm.lab import Lab
from fakevm.vms.requests import PortRequest
from tests.fakes import tcpdump as fake
from tests.fakes.engine import make_container
from tests.pcapng import read_pcapng
from tests.unit.conftest import World
from tests.unit.test_cli import FakeSession, run
from tests.waiting import wait_until

SECOND = 1_000_000_000
HOSTS = ("compute-1", "compute-2", "network-1")
LINK = Point(name="compute-1 br-int", about="br-int", host="compute-1", device="br-int")


def count_of(file: Path) -> int:
    """Return how many packets a file has by now: what is handed on is whole."""
    return sum(len(one.packets) for one in read_pcapng(file.read_bytes()))


# Streams


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("nano", "time_ns"), [(True, 7_000_000_123), (False, 7_000_123_000)])
def test_packets_come_out_of_pcap_in_whatever_pieces_it_comes(
    order: str, nano: bool, time_ns: int
) -> None:
    stream = fake.pcap(time_ns, time_ns + SECOND, order=order, nano=nano)
    whole = [Packet(time_ns, b"frame", 60), Packet(time_ns + SECOND, b"frame", 60)]
    for size in (1, 7, len(stream)):
        reader = PcapReader()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [packet for piece in pieces for packet in reader.feed(piece)] == whole
        assert reader.link_type == 1


def test_what_is_no_pcap_is_refused() -> None:
    with pytest.raises(FakevmError, match="no pcap stream"):
        PcapReader().feed(b"tcpdump: this is no pcap at all")


def test_a_packet_is_one_line_also_with_what_is_in_its_tunnel() -> None:
    reader = LineReader()
    told = b"7.000123 IP a > b: VXLAN, vni 5\nIP c > d: ICMP\n\n8.000000001 ARP\n9.0"
    assert reader.feed(told) == [
        Packet(7_000_123_000, b"IP a > b: VXLAN, vni 5 | IP c > d: ICMP", 0)
    ]
    assert reader.feed(b" IP\n") == [Packet(8_000_000_001, b"ARP", 0)]
    assert reader.settle() == ()
    reader.feed(b"IP c > d: UDP\n")
    assert [*reader.settle(), *reader.settle()] == [Packet(9 * SECOND, b"IP | IP c > d: UDP", 0)]
    assert reader.settle() == ()


def test_frames_come_in_whatever_pieces_they_come() -> None:
    wanted_frames = [Frame(relay.STDOUT, 0, b"abc"), Frame(relay.STDERR, 300, b"")]
    stream = b"".join(relay.HEADER.pack(k, n, len(data)) + data for k, n, data in wanted_frames)
    for size in (1, 5, len(stream)):
        frames = Frames()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [frame for piece in pieces for frame in frames.feed(piece)] == wanted_frames


# The order


def packets(*times: int) -> list[Packet]:
    return [Packet(time_ns, b"", 0) for time_ns in times]


def seen(batch: Sequence[Seen]) -> list[tuple[int, int]]:
    return [(one.packet.time_ns, one.point) for one in batch]


def test_packets_of_several_points_are_put_in_order_for_as_long_as_is_waited() -> None:
    merge = Merge(window_s=1.0)
    merge.add(0, packets(10, 30), now=100.0)
    merge.add(1, packets(20, 40), now=100.5)
    assert merge.due(100.9) == []
    # What is earlier than what is due goes with it.
    assert seen(merge.due(101.0)) == [(10, 0), (20, 1), (30, 0)]
    # What comes too late is handed on late.
    merge.add(1, packets(25), now=101.1)
    assert seen(merge.due(101.2)) == [(25, 1)]
    merge.add(0, packets(35), now=101.3)
    assert seen(merge.rest()) == [(35, 0), (40, 1)]
    assert merge.due(200.0) == []


# pcapng


def test_blocks_are_those_of_the_specification() -> None:
    # Written out by hand, by figures 9, 10 and 11 of draft-ietf-opsawg-pcapng.
    assert pcapng.interface(1, name="eth0", description="abc", bpf="").hex(" ", 4) == (
        "01000000 34000000 01000000 00000400 02000400 65746830 03000300 61626300 09000100 09000000"
        " 00000000 34000000"
    ).replace("01000000 34000000", "01000000 30000000").replace(
        "00000000 34000000", "00000000 30000000"
    )
    assert pcapng.packet(2, Packet(0x123456789A, b"\xaa\xbb\xcc\xdd\xee", 60)).hex(" ", 4) == (
        "06000000 28000000 02000000 12000000 9a785634 05000000 3c000000 aabbccdd ee000000 28000000"
    )


def test_a_file_says_which_filter_it_was_captured_with() -> None:
    made = pcapng.section("words", "fakevm") + pcapng.interface(
        113, name="ä@b eth0", description="d", bpf="icmp"
    )
    (found,) = read_pcapng(made)
    assert (found.name, found.link_type) == ("ä@b eth0", 113)
    assert found.options == {2: "ä@b eth0".encode(), 3: b"d", 9: b"\x09", 11: b"\x00icmp"}


# Points


@pytest.mark.parametrize(
    ("ref", "name", "netns", "device"),
    [
        ("compute-1", "compute-1 underlay", "", ""),
        ("compute-1:br-int", "compute-1 br-int", "", "br-int"),
        ("network-1:qrouter-1:qr-2", "network-1 qrouter-1 qr-2", "qrouter-1", "qr-2"),
    ],
)
def test_a_link_is_named_by_its_host(ref: str, name: str, netns: str, device: str) -> None:
    found = points.link(ref, HOSTS)
    assert found is not None
    assert (found.name, found.netns, found.device) == (name, netns, device)
    assert found.host == ref.split(":")[0]


@pytest.mark.parametrize("ref", ["compute-1:", "compute-1::eth0", "compute-1:a:b:c", "compute-9:"])
def test_a_word_that_is_half_a_link_is_refused(ref: str) -> None:
    with pytest.raises(ConfigError, match="HOST:DEVICE"):
        points.link(ref, HOSTS)


def test_another_word_is_a_vm_s() -> None:
    assert points.link("web", HOSTS) is None


def test_many_points_share_the_kernel_s_memory() -> None:
    def kib(count: int) -> int:
        argv = tcpdump.command(LINK, bpf="", words=False, points=count)
        return int(argv[argv.index("-B") + 1])

    assert [kib(1), kib(8), kib(1000)] == [16384, 8192, 1024]


def test_a_filter_is_one_word_that_is_no_option() -> None:
    assert tcpdump.command(LINK, bpf="-w x", words=True, points=1)[-2:] == ["--", "-w x"]


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("tcpdump: br-int: No such device exists", NotFoundError, "no device 'br-int'"),
        ("no network namespace begins with q, or several do", NotFoundError, "begins with q"),
        ("tcpdump: can't parse filter expression: syntax error", ConfigError, "--filter 'x': can"),
        ("tcpdump: br-int: That device is not up", FakevmError, "br-int: That device is not up"),
        ("", FakevmError, "it ended at once"),
    ],
)
def test_why_a_point_can_t_be_captured_at_is_said(
    said: str, kind: type[FakevmError], words: str
) -> None:
    found = tcpdump.failure(LINK, said, bpf="x" if "filter" in said else "")
    assert type(found) is kind
    assert words in str(found)


def test_what_the_kernel_dropped_is_tcpdump_s_last_word() -> None:
    said = f"tcpdump: listening on eth0, link-type EN10MB (Ethernet)\n{fake.STATISTICS}"
    assert tcpdump.is_listening(said)
    assert tcpdump.complaint(said) == ""
    assert tcpdump.counted(said) == tcpdump.Counted(received=3, dropped=1)


# Captures, by a relay on this machine and a tcpdump that sees three packets at each point


def local(_container: str, commands: Sequence[Sequence[str]]) -> ProcessStream:
    program = Path(relay.__file__).read_text(encoding="utf-8")
    faked = [[sys.executable, fake.__file__, *command] for command in commands]
    return ProcessStream((sys.executable, "-ISc", program, json.dumps(faked)))


@pytest.fixture
def web(world: World) -> str:
    """A VM on compute-1; its port's id."""
    with world.lab() as lab:
        request = PortRequest(network="net", instance="web", host="compute-1")
        return lab.create_port(request).row.port_id


def capture(lab: Lab, to: Path | BinaryIO, *refs: str, **options: Any) -> Capture:
    sink = options.pop("sink", None) or PcapngSink(to)
    return Capture(lab, wanted(lab, refs), sink, open_relay=local, **options)


def test_a_capture_has_an_interface_for_each_point(lab: Lab, web: str, tmp_path: Path) -> None:
    file = tmp_path / "all.pcapng"
    with capture(lab, file, "web", "compute-2", "compute-1:br-int", bpf="icmp") as under_way:
        assert under_way.names == ["web@compute-1 eth0", "compute-2 underlay", "compute-1 br-int"]
        wait_until("packets", lambda: count_of(file) == 9)
    by_name = {one.name: one for one in read_pcapng(file.read_bytes())}
    assert set(by_name) == set(under_way.names) | {t.point for t in under_way.totals}
    first = fake.START * SECOND
    assert by_name["compute-1 br-int"].packets == [
        (first + n * SECOND + 6_000_000, b"br-int") for n in range(3)
    ]
    assert all(one.dropped == 1 and len(one.packets) == 3 for one in by_name.values())
    assert [(total.packets, total.dropped) for total in under_way.totals] == [(3, 1)] * 3
    assert b"port " + web.encode() in by_name["web@compute-1 eth0"].options[3]


def test_a_capture_of_all_has_all_vms_and_hosts_but_what_is_down(
    world: World, web: str, tmp_path: Path
) -> None:
    containers = world.engine.all_containers
    down = [c for c in containers if c.service == "compute-3"]
    world.engine.all_containers = [c for c in containers if c not in down]
    world.engine.all_containers.append(make_container("compute-3", state="exited", health=""))
    with world.lab() as lab, capture(lab, tmp_path / "f") as under_way:
        assert sorted(under_way.names) == [
            "compute-1 underlay",
            "compute-2 underlay",
            "network-1 underlay",
            "web@compute-1 eth0",
        ]
    assert any("compute-3 is exited" in words for words in world.said)


def test_a_capture_ends_by_itself_after_so_many_packets(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "f"
    with capture(lab, file, "compute-1:a", "compute-2:bb", count=4) as under_way:
        assert under_way.wait(20)
    first, second = read_pcapng(file.read_bytes())
    assert [len(first.packets), len(second.packets)] == [2, 2]


def test_a_vm_is_captured_at_wherever_it_goes(
    world: World, lab: Lab, web: str, tmp_path: Path
) -> None:
    file = tmp_path / "f"
    with capture(lab, file, "web") as under_way:
        there, here = world.hosts["compute-2"], world.hosts["compute-1"]
        there.vifs_by_port[web] = here.vifs_by_port[web]
        wait_until("its new place", lambda: "web@compute-2 eth0" in under_way.names)
    assert [one.name for one in read_pcapng(file.read_bytes())] == [
        "web@compute-1 eth0",
        "web@compute-2 eth0",
    ]
    assert world.said == ["capturing at web@compute-2 eth0, too"]


def test_what_vanishes_is_told_and_the_rest_goes_on(world: World, tmp_path: Path) -> None:
    refs = ("compute-1:vanishes", "compute-2:a")
    with world.lab() as lab, capture(lab, tmp_path / "f", *refs) as under_way:
        wait_until("it is told", lambda: bool(world.said))
        assert not under_way.wait(0.2)
    assert world.said == ["compute-1 vanishes: pcap_loop: The interface disappeared"]
    with world.lab() as lab, capture(lab, tmp_path / "g", "compute-1:vanishes") as under_way:
        assert under_way.wait(20)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a capture look for hosts at once."""
    monkeypatch.setattr(running, "HOSTS_S", 0.0)


class Hosts:
    """The relays in a world's hosts, which end with them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._relays: list[tuple[str, ProcessStream]] = []

    def relayed(self, container: str, commands: Sequence[Sequence[str]]) -> ProcessStream:
        self._relays.append((container, local(container, commands)))
        return self._relays[-1][1]

    def end(self, host: str) -> None:
        self._world.engine.end(host)
        self._world.agents[host].die()
        for container, relayed in self._relays:
            if container == f"fakevm-{host}-1":
                relayed.close()


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    ("refs", "there"),
    [
        ((), {"web@compute-1 eth0", "compute-1 underlay"}),
        (("web",), {"web@compute-1 eth0"}),
        (("compute-1", "compute-2:a"), {"compute-1 underlay"}),
    ],
)
def test_a_host_that_is_started_again_is_captured_at_again(
    world: World, web: str, tmp_path: Path, refs: tuple[str, ...], there: set[str]
) -> None:
    hosts = Hosts(world)
    with world.lab() as lab:
        what, sink = wanted(lab, refs), PcapngSink(tmp_path / "f")
        with Capture(lab, what, sink, open_relay=hosts.relayed) as under_way:
            assert there <= set(under_way.names)
            hosts.end("compute-1")
            wait_until("its end", lambda: there.isdisjoint(under_way.names))
            looks = world.engine.looks
            # It is seen to be down.
            wait_until("a look", lambda: world.engine.looks > looks + 1)
            world.engine.begin("compute-1")
            wait_until("its return", lambda: there <= set(under_way.names))


@pytest.mark.usefixtures("often")
def test_hosts_that_come_later_are_captured_at(world: World, web: str, tmp_path: Path) -> None:
    containers = world.engine.all_containers
    world.engine.all_containers = [c for c in containers if c.service != "compute-3"]
    world.engine.end("compute-1")
    with world.lab() as lab, capture(lab, tmp_path / "f") as under_way:
        assert sorted(under_way.names) == ["compute-2 underlay", "network-1 underlay"]
        world.engine.all_containers = containers
        wait_until("their points", lambda: len(under_way.names) == 5)
        assert {"web@compute-1 eth0", "compute-1 underlay", "compute-3 underlay"} <= set(
            under_way.names
        )


@pytest.mark.usefixtures("often")
def test_a_host_that_stops_before_its_relay_starts_is_tried_again(
    world: World, web: str, tmp_path: Path
) -> None:
    world.engine.end("compute-1")
    tries: list[str] = []

    def relayed(container: str, commands: Sequence[Sequence[str]]) -> ProcessStream:
        tries.append(container)
        if tries.count("fakevm-compute-1-1") == 1 and container == "fakevm-compute-1-1":
            raise UnavailableError("compute-1 is exited")
        return local(container, commands)

    with world.lab() as lab:
        what, sink = wanted(lab, ()), PcapngSink(tmp_path / "f")
        with Capture(lab, what, sink, open_relay=relayed) as under_way:
            world.engine.begin("compute-1")
            there = {"web@compute-1 eth0", "compute-1 underlay"}
            wait_until("its points", lambda: there <= set(under_way.names))


def test_a_host_may_be_removed_while_it_is_looked_for(world: World) -> None:
    class Shrinking(Lab):
        @property
        def computes(self) -> list[Container]:
            found = super().computes
            # The capture, which looks again.
            world.engine.all_containers = [c for c in self.containers if c not in found]
            self.look_again()
            return found

    lab = Shrinking(engine=world.engine, neutron=world.neutron, open_stream=world.stream)
    assert lab.running_compute("compute-1").running
    with pytest.raises(NotFoundError):
        lab.running_compute("compute-1")


class Gone(io.BytesIO):
    """Who reads has gone, after so many writes."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self._left = writes

    def write(self, data: Any) -> int:
        self._left -= 1
        if self._left < 0:
            raise BrokenPipeError
        return super().write(data)


def test_a_reader_that_goes_away_ends_it(lab: Lab) -> None:
    with pytest.raises(BrokenPipeError), capture(lab, Gone(1), "compute-1:a") as under_way:
        assert under_way.wait(20)


def test_a_file_that_can_t_be_written_is_an_error_and_nothing_is_left(
    lab: Lab, tmp_path: Path
) -> None:
    started: list[ProcessStream] = []

    def kept(container: str, commands: Sequence[Sequence[str]]) -> ProcessStream:
        started.append(local(container, commands))
        return started[0]

    sink = PcapngSink(tmp_path / "missing" / "f")
    what = wanted(lab, ["compute-1"])
    with (
        pytest.raises(ConfigError, match="No such file"),
        Capture(lab, what, sink, open_relay=kept),
    ):
        pass
    assert started[0].read() == b""


@pytest.mark.parametrize(
    ("refs", "bpf", "kind", "words"),
    [
        (("compute-1:missing",), "", NotFoundError, "compute-1 missing: there is no device"),
        (("compute-1", "compute-2"), "nonsense", ConfigError, "can't parse filter expression"),
        (
            ("nobody",),
            "",
            NotFoundError,
            "no VM, port or host 'nobody'; the hosts are network-1, compute-1",
        ),
        (("compute-9:eth0",), "", NotFoundError, "'compute-9:eth0'"),
    ],
)
def test_what_can_t_be_captured_is_an_error(
    lab: Lab, tmp_path: Path, refs: tuple[str, ...], bpf: str, kind: type[FakevmError], words: str
) -> None:
    file = tmp_path / "f"
    with pytest.raises(kind, match=words), capture(lab, file, *refs, bpf=bpf):
        pass
    assert not file.exists()


def test_a_stopped_host_that_is_named_is_an_error(world: World, web: str, tmp_path: Path) -> None:
    world.engine.all_containers = [
        make_container(c.service, state="exited") if c.service == "compute-1" else c
        for c in world.engine.all_containers
    ]
    for ref in ("compute-1", "compute-1:eth0", "web"):
        with (
            world.lab() as lab,
            pytest.raises(UnavailableError, match="compute-1 is exited"),
            capture(lab, tmp_path / "f", ref),
        ):
            pass


def test_a_port_that_is_on_no_host_is_an_error(world: World, lab: Lab, web: str) -> None:
    world.hosts["compute-1"].vifs_by_port.clear()
    with pytest.raises(NotFoundError, match="is not plugged on compute-1"):
        wanted(lab, [web])
    with lab:
        port = lab.neutron.create_port({"network_id": lab.neutron.network("net").id})
    with pytest.raises(ConflictError, match="is not bound"):
        wanted(lab, [port.id])


def test_words_have_the_point_s_name_before_them(lab: Lab) -> None:
    out = io.BytesIO()
    sink = LineSink(show=lambda name, time_ns, words: f"{name} {time_ns} {words}", to=out)
    with capture(lab, out, "compute-1:a", "compute-2:bb", sink=sink, count=2) as under_way:
        assert under_way.wait(20)
    assert out.getvalue().decode().splitlines() == [
        f"compute-1 a  {fake.START * SECOND + 1_000_000} IP a",
        f"compute-2 bb {fake.START * SECOND + 2_000_000} IP bb",
    ]


# The relay


@pytest.fixture
def sleeping() -> Iterator[ProcessStream]:
    stream = relayed_programs(["sh", "-c", "echo on; echo $$ >&2; exec sleep 600"])
    yield stream
    stream.close()


def relayed_programs(*commands: Sequence[str]) -> ProcessStream:
    program = Path(relay.__file__).read_text(encoding="utf-8")
    return ProcessStream((sys.executable, "-ISc", program, json.dumps(commands)))


def all_of(stream: ProcessStream) -> list[Frame]:
    frames, found = Frames(), list[Frame]()
    while data := stream.read():
        found += frames.feed(data)
    return found


def test_a_relay_tells_what_its_programs_say_and_how_they_end() -> None:
    found = all_of(relayed_programs(["echo", "one"], ["sh", "-c", "echo two >&2; exit 3"]))
    assert {(f.kind, f.number): f.data for f in found} == {
        (relay.STDOUT, 0): b"one\n",
        (relay.STDERR, 1): b"two\n",
        (relay.END, 0): relay.CODE.pack(0),
        (relay.END, 1): relay.CODE.pack(3),
    }


def test_a_relay_ends_its_programs_at_a_word(sleeping: ProcessStream) -> None:
    begun = time.monotonic()
    sleeping.write(b"\n")
    assert all_of(sleeping)[-1] == Frame(relay.END, 0, relay.CODE.pack(-15))
    assert time.monotonic() - begun < relay.GRACE_S


# The command


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("-c", "0"), 2, "0 is not in the range"),
        (("--for", "nan"), 2, "not a number"),
        (("-w", "/"), 2, "is a directory"),
        (("nobody",), 3, "there is no VM, port or host 'nobody'"),
        (("compute-1:",), 2, "HOST:NETNS:DEVICE is expected"),
    ],
)
def test_a_capture_of_what_is_not_there_is_refused(
    world: World, argv: tuple[str, ...], code: int, words: str
) -> None:
    result = run(FakeSession(world), "capture", *argv)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr
