"""Neutron's API: its objects as values, and the calls."""
