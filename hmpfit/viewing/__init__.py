"""Looking at results: the overlay video."""
