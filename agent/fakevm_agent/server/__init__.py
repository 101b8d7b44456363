"""The agent's Unix socket, its clients' streams, and what each request takes. For `agent` alone."""
