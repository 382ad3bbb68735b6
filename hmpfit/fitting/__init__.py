"""The fit: evidence and a first guess in, hand motion with its uncertainty out."""
