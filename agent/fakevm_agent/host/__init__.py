"""This host: what its VMs are made of, what is there of them. For `plans`, `vms` and above."""
