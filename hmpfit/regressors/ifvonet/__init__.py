"""IFVONet: two frames of one hand in, its MANO parameters out, aware of motion between frames and of occlusion."""
