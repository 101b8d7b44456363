"""Stories on a real lab, run as a user would, looked at with other tools."""
