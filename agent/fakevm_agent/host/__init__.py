"""This host: what its VMs are made of, what is there of them. `plans` and above import it."""
