"""The agent's Unix socket, its clients' streams, what a request takes. `agent` alone imports it."""
