"""The mechanism driver: it binds ports on hosts that have a lane agent."""

from neutron.plugins.ml2.drivers import mech_agent

from neutron_lane import AGENT_TYPE, VIF_TYPE


class LaneMechanismDriver(mech_agent.SimpleAgentMechanismDriverBase):
    """Networks of type vxlan. Security groups are not carried out."""

    def __init__(self):
        super().__init__(AGENT_TYPE, VIF_TYPE, {"port_filter": False, "connectivity": "l2"})

    @property
    def connectivity(self):
        """Return what a network's ports share."""
        return "l2"

    def get_allowed_network_types(self, agent=None):
        """Return the types of networks that can be bound."""
        return ["vxlan"]

    def get_mappings(self, agent):
        """Return the agent's NICs by physical network: it needs none."""
        return {}
