"""Rotations, cameras and alignment: geometry without hands."""
