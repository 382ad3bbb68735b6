"""Read files that others made: every reader here has limits, runs nothing, and fails with one sentence."""
