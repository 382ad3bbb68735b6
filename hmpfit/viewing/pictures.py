"""Small pictures of a clip, decoded ahead by a thread, so that showing frame after frame needs no seek.

Separate from the viewer, which only needs the picture of a frame.
"""

import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hmpfit.video.clip import Clip

AHEAD = 24  # pictures, at most
_WAIT_S = 5.0

Image = NDArray[np.uint8]


class PicturesAhead:
    """Gives the pictures of a clip, the longer side at most `side_px`; the next ones are decoded meanwhile."""

    def __init__(self, clip: Clip, side_px: int) -> None:
        self._clip, self._side_px = clip, side_px
        self._ready: dict[int, Image] = {}
        self._wanted, self._open = 0, True
        self._changed = threading.Condition()
        self.seeks = 0  # how often decoding began anew
        threading.Thread(target=self._decode, name="hmpfit pictures", daemon=True).start()

    def get(self, frame: int) -> Image | None:
        """Return the picture of a frame of the clip, None when it cannot be had in a few seconds."""
        with self._changed:
            self._wanted = frame
            self._changed.notify_all()
            self._changed.wait_for(lambda: frame in self._ready or not self._open or self._wanted != frame, _WAIT_S)
            return self._ready.get(frame)

    def close(self) -> None:
        """Stop decoding."""
        with self._changed:
            self._open = False
            self._changed.notify_all()

    def _decode(self) -> None:
        source: Iterator[tuple[int, Image]] = iter(())
        at = -1  # the frame that `source` gives next
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._open or self._next() is not None)
                frame = self._next()
                if not self._open or frame is None:
                    return
            if frame != at:
                source, at = self._clip.images(frame), frame
                self.seeks += 1
            _, image = next(source, (frame, None))
            at += 1
            with self._changed:
                if image is not None:
                    self._ready[frame] = self._small(image)
                else:
                    self._open = False
                low, high = self._wanted - 1, self._wanted + AHEAD
                self._ready = {known: small for known, small in self._ready.items() if low <= known < high}
                self._changed.notify_all()

    def _next(self) -> int | None:
        """Return the first frame that is not decoded of those that are wanted soon."""
        soon = range(max(self._wanted, 0), min(self._wanted + AHEAD, self._clip.frames))
        return next((frame for frame in soon if frame not in self._ready), None)

    def _small(self, image: Image) -> Image:
        import cv2

        scale = min(1.0, self._side_px / max(image.shape[:2]))
        return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)
