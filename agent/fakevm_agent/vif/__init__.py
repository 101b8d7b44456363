"""VIF drivers: what is between a VIF's device and Open vSwitch. `host` and above import it."""
