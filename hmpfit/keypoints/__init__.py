"""2D and 3D evidence of hands: detectors, tracking, confidence."""
