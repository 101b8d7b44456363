"""The command line: `fakevm`."""
