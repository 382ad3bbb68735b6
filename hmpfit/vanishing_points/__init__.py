"""The focal length from straight lines of the static scene, whose directions are at right angles to each other."""
