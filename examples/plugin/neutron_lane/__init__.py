"""VXLAN networks by Linux bridges: in each host one for each network, "lane" and the network's id.

mechanism.py runs in neutron-api, agent.py and vif.py in each compute host.
"""

AGENT_TYPE = "Lane agent"
VIF_TYPE = "lane"

# The kernel's limit of a device's name, less the final zero.
_NAME_LEN = 15


def bridge_name(network_id):
    """Return the name of a network's bridge."""
    return f"lane{network_id}"[:_NAME_LEN]
