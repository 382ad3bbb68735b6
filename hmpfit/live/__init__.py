"""Hands of a camera or stream as they move: a tracker, a fixed-lag smoother, and the outputs."""
