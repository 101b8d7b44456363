"""What both backends have, on a lab of ML2/OVN, too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.lab import Lab
from tests.integration.ovn import ovn_lab
from tests.integration.test_addresses import (  # noqa: F401
    test_dhcp_gives_the_fixed_ip,
    test_ipv6_by_router_advertisement_and_by_dhcpv6,
    test_static_and_none,
    test_two_nics_on_two_networks,
)
from tests.integration.test_connectivity import (  # noqa: F401
    test_two_vms_on_each_of_three_hosts_all_pairs,
)
from tests.integration.test_migrate_failures import (  # noqa: F401
    guests,
    test_a_failure_after_activation_goes_forward,
    test_a_failure_before_the_pause_is_not_felt,
    test_a_failure_to_activate_lets_the_vm_run_where_it_was,
)
from tests.integration.test_restarts import (  # noqa: F401
    test_a_host_s_restart_brings_its_vms_back,
    test_a_vswitchd_s_restart_brings_the_network_back,
)
from tests.integration.test_scenarios import (  # noqa: F401
    at_once,
    test_a_scenario,
    test_a_scenario_beside_others,
)
from tests.integration.test_security_groups import (  # noqa: F401
    test_a_rule_taken_away_stops_an_established_ping,
    test_port_security_off_lets_everything_in,
)
from tests.integration.test_trace import (  # noqa: F401
    test_a_packet_between_vlans_is_followed_by_the_gateway_s_host,
    test_a_packet_is_followed_through_a_router,
    test_a_packet_is_followed_to_another_host_or_to_who_drops_it,
    test_a_packet_of_ipv6_is_followed_on_one_host,
)
from tests.integration.test_trunks import test_a_vm_speaks_with_its_subport_s_network  # noqa: F401
from tests.integration.test_writes import (  # noqa: F401
    given,
    story,
    test_a_build_that_is_rescheduled,
    test_a_cold_migration_that_is_left_open,
    test_a_vm_on_its_host_and_on_none,
    test_a_vm_with_one_port,
    test_a_vm_with_two_ports_one_of_them_given,
)

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def lab(lab_name: str) -> Iterator[Lab]:
    """A lab of ML2/OVN instead of the session's."""
    with ovn_lab(lab_name) as lab:
        yield lab
