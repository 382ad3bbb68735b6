"""Convert decoded frames to RGB, as they are shown."""

import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hmpfit.video.placement import Placement

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter

_PER_THREAD = threading.local()


def upright_rgb(frame: "VideoFrame", here: Placement) -> NDArray[np.uint8]:
    """Return a decoded frame as RGB [height, width, 3], turned as its placement says, on this thread alone."""
    width, height = here.unturned_size
    shown = _reformatter().reformat(frame, width=width, height=height, format="rgb24", threads=1)
    return here.turned(np.asarray(shown.to_ndarray(), dtype=np.uint8))


def _reformatter() -> "VideoReformatter":
    """Return the thread's converter: each keeps swscale's tables, which take longer to make than a frame to convert."""
    if not hasattr(_PER_THREAD, "reformatter"):
        from av.video.reformatter import VideoReformatter

        _PER_THREAD.reformatter = VideoReformatter()
    reformatter: VideoReformatter = _PER_THREAD.reformatter
    return reformatter
