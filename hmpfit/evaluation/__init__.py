"""Errors of a result against a known truth."""
