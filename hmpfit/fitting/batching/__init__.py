"""Several clips in one batch, and several batches on the cores of a CPU."""
