"""What is done with VMs, by request or after a restart. `server` and `agent` import it."""
