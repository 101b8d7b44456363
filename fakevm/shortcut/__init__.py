"""A command in a VM by the shortest way, for exec and shell."""
