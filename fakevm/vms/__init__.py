"""VMs, their ports and NICs: made, found, shown, removed."""
