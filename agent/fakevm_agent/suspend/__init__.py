"""A guest that is paused and goes on: what moves with it. `host` and above import it."""
