"""JSON-RPC over a Unix socket, JSON to values. `ovs`, `server` and `nova_events` import it."""
