"""A migration as it was seen: values, words, tables and a page."""
