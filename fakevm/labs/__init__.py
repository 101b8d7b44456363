"""A lab as a whole: it begins, changes, is looked at and ends."""
