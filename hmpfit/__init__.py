"""hmpfit recovers 3D hands from ordinary video by optimization.

The library's front door is `hmpfit.fit_video`. Nothing is imported before it is asked for, so that `import hmpfit` and
`hmpfit --help` stay instant.
"""

import importlib
import os
from typing import Any

__version__ = "0.1.0"

# OpenCV reads this once, when it is first imported: a picture of a few bytes may announce a gigapixel.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))

_FRONT_DOOR = {
    "fit_video": "hmpfit.pipeline",
    "FitResult": "hmpfit.records",
    "HandMotion": "hmpfit.records",
    "read_result": "hmpfit.results.npz",
    "load_hand_models": "hmpfit.hands.model_files",
}


def __getattr__(name: str) -> Any:
    if name not in _FRONT_DOOR:
        raise AttributeError(f"module 'hmpfit' has no attribute '{name}'; it offers {', '.join(_FRONT_DOOR)}")
    return getattr(importlib.import_module(_FRONT_DOOR[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FRONT_DOOR])
