"""Solvers read the same `Problem` and return the same state and report."""
