"""How an act is carried out: in steps, timed, told, undone, and by one at a time."""
