"""STC, two hands from a window of frames (Zhao et al. 2023, "Exploiting spatial-temporal context"): network, losses."""
