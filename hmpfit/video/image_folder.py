"""Frames of a folder of images, in natural order (2 before 10), at an assumed rate.

Separate from `clip` because images know no time: 30 frames a second is assumed, and said.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError

ASSUMED_FPS = 30.0
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

_LOG = logging.getLogger("hmpfit")


class ImageFolder:
    """Images of one size; see `clip.FrameStore`. `end` leaves the images after that many alone."""

    def __init__(self, path: Path, end: int | None, on_frame: Callable[[int, int], None] | None = None) -> None:
        import cv2

        found = [p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
        if not found:
            raise InputError(f"The folder '{path}' holds no images ({', '.join(SUFFIXES)}).")
        self._files = sorted(found, key=_natural)[:end]
        self.height, self.width = self._read(self._files[0]).shape[:2]
        small = _decode(self._files[0], cv2.IMREAD_REDUCED_COLOR_8)
        for done, file in enumerate(self._files, start=1):
            if (image := _decode(file, cv2.IMREAD_REDUCED_COLOR_8)) is None:
                raise InputError(f"The image '{file}' cannot be decoded; mend or remove it.")
            if small is not None and np.abs(np.subtract(image.shape, small.shape)).max() > 1:  # decoders round by one
                raise _other_size(file)
            if on_frame is not None:
                on_frame(done, len(self._files))
        _LOG.warning("'%s' is a folder of images: %g frames a second are assumed", path, ASSUMED_FPS)
        self.fps = ASSUMED_FPS
        self.times_s = np.arange(len(self._files)) / ASSUMED_FPS

    def images(self, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the images start..stop as RGB [height, width, 3]."""
        for file in self._files[start:stop]:
            image = self._read(file)
            if image.shape[:2] != (self.height, self.width):
                raise _other_size(file)
            yield image

    def hash_into(self, digest: "hashlib._Hash") -> None:
        """Feed the names and contents of the images to a digest."""
        for file in self._files:
            content = file.read_bytes()
            digest.update(f"{file.name}\n{len(content)}\n".encode())
            digest.update(content)

    def _read(self, file: Path) -> NDArray[np.uint8]:
        import cv2

        image = _decode(file, cv2.IMREAD_COLOR)
        if image is None:
            raise InputError(f"The image '{file}' cannot be decoded; mend or remove it.")
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _decode(file: Path, flags: int) -> NDArray[np.uint8] | None:
    """Return BGR, grey and transparent images included and orientation applied, or None for what is no image."""
    import cv2

    content = np.fromfile(file, dtype=np.uint8)
    if len(content) == 0:
        return None
    image = cv2.imdecode(content, flags)
    return None if image is None else np.asarray(image, dtype=np.uint8)


def _other_size(file: Path) -> InputError:
    return InputError(f"The image '{file}' has another size than the first one in its folder; all must be equal.")


def _natural(file: Path) -> list[tuple[int, int | str]]:
    """Sort key that counts: frame2 before frame10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", file.name.lower()) if part]
