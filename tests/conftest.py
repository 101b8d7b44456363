"""What all tests need."""

from __future__ import annotations

import signal

# A runner in the background has Ctrl-C or hangups ignored, and hands that on to what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
