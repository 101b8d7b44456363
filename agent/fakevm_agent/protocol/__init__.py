"""JSON-RPC over a Unix socket, JSON to values. `ovs`, `vms`, `server`, `nova_events` import it."""
