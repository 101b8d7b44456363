"""VIF drivers: what is between a VIF's device and who wires it. `host` and above import it."""
