"""A guest that is paused and goes on: what moves with it. For `vms` and `server`."""
