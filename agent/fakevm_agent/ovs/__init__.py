"""Open vSwitch's database, and what the agent keeps in it. For `vms` and `agent`."""
