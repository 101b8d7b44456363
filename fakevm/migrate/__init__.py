"""Moving a VM to another host as Nova does it: live, cold, and away from a host that is down."""
