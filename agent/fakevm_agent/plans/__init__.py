"""From what a VIF should be to what is done for it. For `vms`: its requests end in one plan."""
