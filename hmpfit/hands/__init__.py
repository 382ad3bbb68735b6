"""Hand models in the MANO schema: files, forward pass, kinematics, anatomy."""
