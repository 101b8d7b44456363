from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import fakevm_agent
from fakevm_agent.probe import prober
from fakevm_agent.probe.flow import Flow, Slots
from fakevm_agent.probe.packet import Packet, checksum, echo, echo_request, unpack

# Without the site module, as fakevm-probe runs it.
CODE = f"""
import sys
sys.path.append({str(Path(fakevm_agent.__file__).parents[1])!r})
from fakevm_agent.probe.prober import main
sys.exit(main())
"""
PROGRAM = [sys.executable, "-IS", "-c", CODE]
T0 = 1_800_000_000.0


def packet(**changes: Any) -> Packet:
    values = {"run": "r", "flow": "p udp to-vm", "seq": 7, "sent": T0 + 0.07, "host": "compute-1"}
    return Packet(**(values | changes))  # type: ignore[arg-type]


def test_a_packet_says_what_was_put_in() -> None:
    found = unpack(packet().pack())
    assert found
    assert vars(found) == vars(packet())


def test_a_packet_that_is_not_a_probers_is_none() -> None:
    whole = packet().pack()
    assert unpack(b"") is None
    assert unpack(whole[:-1]) is None
    assert unpack(b"X" + whole[1:]) is None


def test_a_flows_packets_have_whole_numbers_and_their_times() -> None:
    slots = Slots(t0=T0, rate=100, now=T0 + 0.001)
    assert slots.take(T0 + 0.001) is None
    assert slots.due() == pytest.approx(T0 + 0.01)
    assert [slots.take(slots.due()) for _ in range(1000)] == list(range(1, 1001))
    assert slots.due() == pytest.approx(T0 + 10.01)


def test_a_sender_that_is_late_sends_what_is_due_now() -> None:
    slots = Slots(t0=T0, rate=100, now=T0)
    assert [slots.take(T0 + 0.0005), slots.take(T0 + 0.057)] == [0, 5]
    assert slots.take(T0 + 0.059) is None


def test_a_sender_that_is_started_later_goes_on_in_the_same_numbering() -> None:
    first, second = (Slots(t0=T0, rate=100, now=T0 + now) for now in (0.0, 5.001))
    assert second.due() > T0 + 5.001
    number = second.take(second.due())
    while (other := first.take(first.due())) != 500:
        assert other != number
    assert number == 501


def test_what_is_yet_to_begin_waits() -> None:
    slots = Slots(t0=T0, rate=100, now=T0 - 3)
    assert slots.take(T0 - 1) is None
    assert slots.take(T0) == 0


def test_an_echo_request_has_a_checksum_that_holds() -> None:
    for payload in (b"", b"odd", b"even"):
        assert checksum(echo_request(4, 70_000, payload)) == 0
    assert echo(6, echo_request(6, 1, b"x")) == (128, b"x")
    header = bytes([0x46]) + bytes(23)
    assert echo(4, header + echo_request(4, 1, b"x")) == (8, b"x")
    assert echo(4, header) == (-1, b"")
    assert echo(6, b"") == (-1, b"")


def order(**changes: object) -> dict[str, object]:
    return {"flow": "f", "role": "send", "kind": "udp", "address": "::1", "port": 9} | changes


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"role": "sing"}, "role"),
        ({"kind": "tcp"}, "kind"),
        ({"role": "ping"}, "icmp"),
        ({"port": 0}, "port"),
        ({"port": 70_000}, "port"),
        ({"rate": 0}, "rate"),
        ({"rate": "fast"}, "rate"),
        ({"address": "localhost"}, "address"),
        ({"address": None}, "address"),
        ({"flow": 1}, "flow"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(changes: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Flow(order(**changes), now=T0, host="h")


def lines(*told: object) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in told)


def run(data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(PROGRAM, input=data, capture_output=True, timeout=20, check=False)


def test_what_is_sent_is_received_with_its_number() -> None:
    with subprocess.Popen(PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        t0 = time.time()
        port = 20_000 + os.getpid() % 10_000
        flow = {"flow": "in", "kind": "udp", "address": "127.0.0.1", "port": port, "t0": t0}
        out = {**flow, "flow": "out", "role": "send", "rate": 200}
        process.stdin.write(lines({**flow, "role": "receive", "flow": "out"}))
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == {"flow": "out", "ready": True}
        # Its own flow, by another process.
        sender = subprocess.Popen(PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert sender.stdin
        assert sender.stdout
        sender.stdin.write(lines({**out, "host": "compute-9"}))
        sender.stdin.flush()
        received: list[list[Any]] = []
        while len(received) < 20:
            received += json.loads(process.stdout.readline())["received"]
        sender.stdin.close()
        told = [json.loads(line) for line in sender.stdout]
        sender.stdout.close()
        assert sender.wait(10) == 0
        process.stdin.write(lines({"stop": True}))
        process.stdin.flush()
        rest = [json.loads(line) for line in process.stdout]
        assert process.wait(10) == 0
    assert told[-1] == rest[-1] == {"end": True}
    sent = {seq: at for line in told for seq, at in line.get("sent", ())}
    received += [each for line in rest for each in line.get("received", ())]
    assert [seq for seq, *_ in received] == sorted(sent)
    for seq, at, sent_at, host in received:
        assert sent_at == sent[seq]
        assert at - sent_at < 5
        assert t0 + seq / 200 <= sent_at < t0 + (seq + 1) / 200
        assert host == "compute-9"


def test_what_nobody_understands_is_told() -> None:
    for data in (b"x\n", lines(order(port=0)), lines({"what": 1})):
        done = run(data)
        assert done.returncode == 1
        assert done.stderr
        assert b"Traceback" not in done.stderr


def test_an_end_of_input_is_the_end() -> None:
    done = run(b"")
    assert (done.returncode, done.stdout) == (0, b'{"end":true}\n')


def test_the_limit_is_the_end() -> None:
    stdin, its_end = os.pipe()
    stdout, own_end = os.pipe()
    wake_up, waker = os.pipe()
    prober.Prober(stdin=stdin, stdout=own_end, limit_s=0.1).run(wake_up)
    assert os.read(stdout, 100) == b'{"end":true}\n'
    for fd in (stdin, its_end, stdout, own_end, wake_up, waker):
        os.close(fd)


def test_the_head_of_a_packet_has_no_padding() -> None:
    assert len(packet(run="", flow="", host="").pack()) == struct.calcsize("!8sQdBBB")
