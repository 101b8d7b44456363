"""Trunks: one VIF for several networks."""

from __future__ import annotations

from tests.integration.cloud import Cloud
from tests.integration.trunking import assert_trunked


def test_a_vm_speaks_with_its_subport_s_network(cloud: Cloud) -> None:
    assert_trunked(cloud)
