"""Measurements on a lab of their own, each beside the raw thing."""
