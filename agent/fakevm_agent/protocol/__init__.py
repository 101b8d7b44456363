"""JSON-RPC over a Unix socket, and JSON to values. Whoever serves it imports it; it knows no VM."""
