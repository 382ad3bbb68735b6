"""Rotations, cameras and alignment: geometry that knows nothing of hands."""
