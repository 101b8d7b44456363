"""Routers: what else of Neutron the VMs reach each other by."""

from __future__ import annotations

import pytest

from tests.integration.cloud import Cloud
from tests.integration.routing import assert_routed


@pytest.mark.nightly
def test_a_router_joins_networks_and_leads_outside(cloud: Cloud) -> None:
    assert_routed(cloud)
