"""First guesses: each initializer turns its evidence into a `HandMotion`."""
