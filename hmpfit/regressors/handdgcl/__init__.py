"""HandDGCL, two meshes from one picture (Han et al. 2023, "Disturbing graph contrastive learning"): network, losses."""
