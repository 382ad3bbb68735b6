"""Names of the overlay's layouts; separate from the drawing, so that options are checked without it."""

LAYOUTS = ("overlay", "side-by-side", "turntable")
