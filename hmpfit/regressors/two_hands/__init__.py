"""What the two-hand networks share: the pair of posed hands, training windows, crops, and the way back to a motion."""
