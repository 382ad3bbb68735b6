"""How far a result is from a known truth."""
