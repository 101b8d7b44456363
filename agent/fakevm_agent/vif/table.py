"""The drivers that there are."""

from fakevm_agent.vif.driver import Drivers
from fakevm_agent.vif.hybrid import Hybrid
from fakevm_agent.vif.osvif import OsVif
from fakevm_agent.vif.ovs import Ovs


def make(osvif: OsVif) -> Drivers:
    """Return the drivers, by what a binding says."""
    return Drivers({("ovs", False): Ovs(osvif), ("ovs", True): Hybrid(osvif)})
