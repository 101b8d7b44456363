"""What a VM has and runs inside: files, processes, DHCP. For whoever makes or serves VMs."""
