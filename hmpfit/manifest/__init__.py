"""Very many clips from a list: read and checked, processed in chunks, and entered once each in a ledger."""
