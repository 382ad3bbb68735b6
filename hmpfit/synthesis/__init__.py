"""Ground-truth video made here: generated motion, rendered clips."""
