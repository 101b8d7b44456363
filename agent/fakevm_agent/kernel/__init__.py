"""Linux by system calls: namespaces, processes, netlink. Any package of the agent may import it."""
