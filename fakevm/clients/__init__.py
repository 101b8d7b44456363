"""What a lab consists of, and the talk with it: engine, streams, agents, events."""
