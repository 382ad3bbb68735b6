"""Values of `--camera`, apart from their implementation, so that options are checked without numpy."""

from hmpfit.errors import InputError

STATIC = "static"
FILE = "file:"
CAMERA_MODES = ("auto", STATIC, "moving", "file:PATH")


def check_camera_mode(mode: str) -> None:
    """Raise InputError for a camera mode that is none of `CAMERA_MODES`."""
    if mode not in CAMERA_MODES[:3] and not (mode.startswith(FILE) and len(mode) > len(FILE)):
        raise InputError(f"--camera '{mode}' is unknown; known: {', '.join(CAMERA_MODES)}.")
