"""Readers of other people's recordings and data sets, one file per format."""
