"""Neutron's faults, a module each, which scenarios.known lists. Imports scenarios.stage."""
