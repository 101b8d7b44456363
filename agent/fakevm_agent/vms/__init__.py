"""The VMs of this host: from what should be to what the kernel has. For `server` and `agent`."""
