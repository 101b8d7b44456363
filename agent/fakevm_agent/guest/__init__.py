"""What a VM has and runs inside: files, processes, DHCP. `suspend`, `host` and above import it."""
