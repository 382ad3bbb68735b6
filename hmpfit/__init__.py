"""hmpfit recovers 3D hands from ordinary video by optimization.

The library's front door is `hmpfit.fit_video`. Nothing is imported before it is asked for, so that `import hmpfit` and
`hmpfit --help` stay instant.
"""

import importlib
import os
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# OpenCV reads this once, when it is first imported: a picture of a few bytes may announce a gigapixel.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))

if TYPE_CHECKING:
    from hmpfit.errors import HmpfitError as HmpfitError
    from hmpfit.front_door import FitResult as FitResult
    from hmpfit.front_door import FrameOfHands as FrameOfHands
    from hmpfit.front_door import fit_video as fit_video
    from hmpfit.front_door import read_result as read_result
    from hmpfit.hands.model_files import load_hand_models as load_hand_models
    from hmpfit.records import HandMotion as HandMotion

__all__ = [
    "FitResult",
    "FrameOfHands",
    "HandMotion",
    "HmpfitError",
    "__version__",
    "fit_video",
    "load_hand_models",
    "read_result",
]

_FRONT_DOOR = {
    "fit_video": "hmpfit.front_door",
    "FitResult": "hmpfit.front_door",
    "FrameOfHands": "hmpfit.front_door",
    "HandMotion": "hmpfit.records",
    "HmpfitError": "hmpfit.errors",
    "read_result": "hmpfit.front_door",
    "load_hand_models": "hmpfit.hands.model_files",
}


def __getattr__(name: str) -> object:
    if name not in _FRONT_DOOR:
        raise AttributeError(f"module 'hmpfit' has no attribute '{name}'; it offers {', '.join(_FRONT_DOOR)}")
    return getattr(importlib.import_module(_FRONT_DOOR[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FRONT_DOOR])
