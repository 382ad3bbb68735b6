"""The local web page: videos in, one fit at a time, overlay, 3D view, warnings and every export out."""
