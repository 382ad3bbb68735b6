"""One file per command; everything that knows click, rich or the terminal lives here."""
