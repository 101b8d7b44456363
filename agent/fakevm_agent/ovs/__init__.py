"""Open vSwitch's database, and what the agent keeps in it. `host` and above import it."""
