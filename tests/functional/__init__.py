"""The agent on the real kernel, with an Open vSwitch of its own."""
