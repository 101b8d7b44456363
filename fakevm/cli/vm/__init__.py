"""Commands of ports and VMs."""
