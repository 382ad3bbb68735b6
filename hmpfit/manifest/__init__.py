"""Very many clips from a list: read and checked, worked through in chunks, and told once each in a ledger."""
