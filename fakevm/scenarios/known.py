"""The scenarios that there are."""

from __future__ import annotations

from fakevm.errors import ConfigError
from fakevm.scenarios.faults import (
    arrived_down,
    back_too_soon,
    barred_dhcp,
    bind_nowhere,
    delete_active,
    early_plugged,
    few_tunnels,
    forgotten_network,
    former_vlan,
    hung_agent,
    ignored_after_reboot,
    ipv6_metadata,
    late_tap,
    lost_rarp,
    lost_tunnels,
    marked_connections,
    moved_dhcp,
    moved_gateway,
    never_retried,
    plugged_unwired,
    rolled_back_down,
    stale_binding,
    stays_down,
    untagged_window,
)
from fakevm.scenarios.scenario import Scenario

# In the order of their letters.
SCENARIOS: tuple[Scenario, ...] = (
    stays_down.SCENARIO,
    stale_binding.SCENARIO,
    delete_active.SCENARIO,
    bind_nowhere.SCENARIO,
    late_tap.SCENARIO,
    early_plugged.SCENARIO,
    lost_rarp.SCENARIO,
    untagged_window.SCENARIO,
    ignored_after_reboot.SCENARIO,
    back_too_soon.SCENARIO,
    forgotten_network.SCENARIO,
    rolled_back_down.SCENARIO,
    arrived_down.SCENARIO,
    plugged_unwired.SCENARIO,
    never_retried.SCENARIO,
    barred_dhcp.SCENARIO,
    former_vlan.SCENARIO,
    moved_gateway.SCENARIO,
    ipv6_metadata.SCENARIO,
    moved_dhcp.SCENARIO,
    marked_connections.SCENARIO,
    lost_tunnels.SCENARIO,
    hung_agent.SCENARIO,
    few_tunnels.SCENARIO,
)


def find(ref: str) -> Scenario:
    """Return the scenario of a name or a letter; ConfigError names those that there are."""
    for scenario in SCENARIOS:
        if ref in (scenario.name, scenario.letter, scenario.letter.lower()):
            return scenario
    known = ", ".join(scenario.name for scenario in SCENARIOS)
    raise ConfigError(f"there is no scenario {ref!r}; there are: {known}")
