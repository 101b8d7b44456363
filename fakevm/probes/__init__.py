"""Numbered packets to and from a VM that migrates, and what became of them. Imports reports."""
