"""From what a VIF should be to what is done for it. `vms` alone imports it."""
