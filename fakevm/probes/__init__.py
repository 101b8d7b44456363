"""Packets with numbers to and from a VM while it migrates, and what became of them."""
