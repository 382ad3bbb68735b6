"""Camera motion: static, rotating or moving; its path from the static scene, and the path's metric scale."""
