"""VIF drivers: what is between a VIF's device and Open vSwitch. For `vms`, `ovs` and `agent`."""
