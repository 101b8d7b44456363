"""`python -m fakevm` is `fakevm`."""

from fakevm.cli import main

main()
