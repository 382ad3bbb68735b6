"""First guesses: each initialiser turns its evidence into a `HandMotion`."""
