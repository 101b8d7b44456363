"""The daemon in a compute host: VMs as network namespaces, plugged as Nova plugs them."""
