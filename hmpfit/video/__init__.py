"""Moving pictures in and out: any video or folder of images as a stream of RGB frames, and H.264 files."""
