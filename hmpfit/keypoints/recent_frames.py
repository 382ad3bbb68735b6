"""Keep recent frames of a stream, so that a hand can be followed backwards without decoding again."""

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints.frames import FrameSource, MakeImage, decoded

_BYTES = 96_000_000  # of decoded frames that are kept
_BYTES_PER_PIXEL = 1.5  # as decoders keep them, before they are RGB


class RecentFrames:
    """The last frames of a stream; an earlier one is decoded once more, with those before it."""

    def __init__(self, clip: FrameSource) -> None:
        self._clip = clip
        self._most = int(np.clip(_BYTES // (clip.width * clip.height * _BYTES_PER_PIXEL), 2, 128))
        self._kept: dict[int, MakeImage] = {}

    def put(self, frame: int, image: MakeImage) -> None:
        """Keep the next frame."""
        self._kept[frame] = image
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]

    def earlier(self) -> "EarlierFrames":
        """Return the frames that are kept now, for access in falling order."""
        return EarlierFrames(self._clip, dict(self._kept), self._most)


class EarlierFrames:
    """Images of frames asked for in falling order."""

    def __init__(self, clip: FrameSource, kept: dict[int, MakeImage], most: int) -> None:
        self._clip, self._kept, self._most = clip, kept, most

    def __call__(self, frame: int) -> NDArray[np.uint8]:
        """Return the image of a frame."""
        if frame not in self._kept:
            self._kept = dict(decoded(self._clip, max(frame + 1 - self._most, 0), frame + 1))
        return self._kept[frame]()
