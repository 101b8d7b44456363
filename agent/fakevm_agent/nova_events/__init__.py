"""A service of its own, and no agent: Nova's end of Neutron's notifications. Nobody imports it."""
