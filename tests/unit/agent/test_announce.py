from __future__ import annotations

from fakevm_agent.suspend.announce import TIMES, frame


def test_a_frame_is_qemus() -> None:
    mac = "fa163e000001"
    expected = f"ffffffffffff {mac} 8035 0001 0800 06 04 0003 {mac} 00000000 {mac} 00000000"
    assert frame("fa:16:3e:00:00:01") == bytes.fromhex(expected) + bytes(18)
    assert len(frame("fa:16:3e:00:00:01")) == 60


def test_the_times_are_qemus() -> None:
    """Of net/announce.c, with the defaults of the options that it names."""
    initial, step, rounds, longest = 50, 100, 5, 550
    times, left = [0], rounds - 1
    while left:
        times.append(times[-1] + min(longest, initial + (rounds - left - 1) * step))
        left -= 1
    assert [round(seconds * 1000) for seconds in TIMES] == times
