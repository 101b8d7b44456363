"""A program that runs in VMs: standard library only, nothing of the agent. Nobody imports it."""
