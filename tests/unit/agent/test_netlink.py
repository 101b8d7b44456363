"""What the kernel refuses is told as an error of ours, by the device's name."""

from __future__ import annotations

import pytest

from fakevm.errors import FakevmError
from fakevm_agent.kernel import ip


def test_addresses_of_a_device_that_is_gone() -> None:
    with pytest.raises(FakevmError, match="nodevice: the kernel refuses"):
        ip.set_addresses("nodevice", add=("10.0.0.5/24",), remove=(), routes=())
