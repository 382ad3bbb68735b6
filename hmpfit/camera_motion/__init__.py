"""How the camera moved: static, turning or moving, its path from the static scene, and the path's metric scale."""
