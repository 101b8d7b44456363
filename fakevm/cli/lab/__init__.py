"""Commands of the lab as a whole."""
