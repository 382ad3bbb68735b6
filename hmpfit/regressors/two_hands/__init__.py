"""Shared by the two-hand networks: the pair of posed hands, training windows, crops, and the way back to a motion."""
