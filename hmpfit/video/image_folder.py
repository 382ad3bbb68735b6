"""Frames stored as images: a folder in natural order (2 before 10), or a list with the frames' times.

Separate from `clip` because a folder knows no time: 30 frames a second is assumed there, and said.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError

ASSUMED_FPS = 30.0
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

_LOG = logging.getLogger("hmpfit")


class ImageFiles:
    """Images of one size with known times; see `clip.FrameStore`.

    With `lenient`, frames whose image is missing, damaged or of another size are black, counted and logged: the clip
    keeps its time, and nothing is found there. Otherwise, and when no image is any good, InputError names the file.
    """

    def __init__(
        self,
        files: Sequence[Path],
        times_s: NDArray[np.float64],
        fps: float,
        on_frame: Callable[[int, int], None] | None = None,
        lenient: bool = False,
    ) -> None:
        self._files, self.times_s, self.fps = files, times_s, fps
        self._lost: set[int] = set()
        first: NDArray[np.uint8] | None = None
        small: tuple[int, ...] = ()
        reason: InputError | None = None
        for number, file in enumerate(files):
            try:
                if first is None:
                    first = read_image(file)
                    small = _reduced(file).shape[:2]
                elif np.abs(np.subtract(_reduced(file).shape[:2], small)).max() > 1:  # decoders round by one
                    raise _other_size(file)
            except InputError as error:
                if not lenient:
                    raise
                reason = reason or error
                self._lost.add(number)
            if on_frame is not None:
                on_frame(number + 1, len(files))
        if first is None:
            raise reason or InputError("The clip has no images.")
        if reason is not None:
            _LOG.warning("%d of %d images are no good and count as black frames; the first: %s",
                         len(self._lost), len(files), reason)  # fmt: skip
        self.height, self.width = first.shape[:2]

    def images(self, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the images start..stop as RGB [height, width, 3]."""
        for number in range(*slice(start, stop).indices(len(self._files))):
            if number in self._lost:
                yield np.zeros((self.height, self.width, 3), np.uint8)
                continue
            image = read_image(self._files[number])
            if image.shape[:2] != (self.height, self.width):
                raise _other_size(self._files[number])
            yield image

    def hash_into(self, digest: "hashlib._Hash") -> None:
        """Feed the names and contents of the images to a digest."""
        for number, file in enumerate(self._files):
            content = b"" if number in self._lost else file.read_bytes()
            digest.update(f"{file.name}\n{len(content)}\n".encode())
            digest.update(content)


class ImageFolder(ImageFiles):
    """All images of a folder; `end` leaves those after that many alone."""

    def __init__(self, path: Path, end: int | None, on_frame: Callable[[int, int], None] | None = None) -> None:
        found = [p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
        if not found:
            raise InputError(f"The folder '{path}' holds no images ({', '.join(SUFFIXES)}).")
        files = sorted(found, key=_natural)[:end]
        super().__init__(files, np.arange(len(files)) / ASSUMED_FPS, ASSUMED_FPS, on_frame)
        _LOG.warning("'%s' is a folder of images: %g frames a second are assumed", path, ASSUMED_FPS)


def read_image(file: Path) -> NDArray[np.uint8]:
    """Read one image as RGB [height, width, 3]. Raises InputError, naming it, when it is missing or damaged."""
    import cv2

    image = _decode(file, cv2.IMREAD_COLOR)
    if image is None:
        raise _damaged(file)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def read_image_list(path: Path) -> tuple[list[Path], NDArray[np.float64], float]:
    """Return files, times [T] and frame rate of a `*.images.json`: `{"fps": 30, "images": [...], "times_s": [...]}`.

    Paths are relative to the list's folder; `times_s` may lack. Raises InputError when it is no such list.
    """
    try:
        stored = json.loads(path.read_text())
        fps, files = float(stored["fps"]), [path.parent / name for name in stored["images"]]
        times_s = np.asarray(stored.get("times_s", np.arange(len(files)) / fps), dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(f"'{path}' is not a list of images with 'fps' and 'images' ({error!r}).") from None
    if not files or not fps > 0 or times_s.shape != (len(files),) or (np.diff(times_s) <= 0).any():
        raise InputError(f"'{path}' needs images, a positive 'fps' and as many rising 'times_s' as images.")
    return files, times_s, fps


def write_image_list(path: Path, files: Sequence[Path], times_s: NDArray[np.float64], fps: float) -> Path:
    """Write a list that `read_image_list` reads, and return its path."""
    content = {"fps": fps, "images": [str(file.resolve()) for file in files], "times_s": [float(t) for t in times_s]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def _decode(file: Path, flags: int) -> NDArray[np.uint8] | None:
    """Return BGR, grey and transparent images included and orientation applied, or None for what is no image."""
    import cv2

    try:
        content = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"The image '{file}' cannot be read: {error.strerror or error}.") from None
    if len(content) == 0:
        return None
    image = cv2.imdecode(content, flags)
    return None if image is None else np.asarray(image, dtype=np.uint8)


def _reduced(file: Path) -> NDArray[np.uint8]:
    import cv2

    image = _decode(file, cv2.IMREAD_REDUCED_COLOR_8)
    if image is None:
        raise _damaged(file)
    return image


def _damaged(file: Path) -> InputError:
    return InputError(f"The image '{file}' cannot be decoded; mend or remove it.")


def _other_size(file: Path) -> InputError:
    return InputError(f"The image '{file}' has another size than the first one in its folder; all must be equal.")


def _natural(file: Path) -> list[tuple[int, int | str]]:
    """Sort key that counts: frame2 before frame10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", file.name.lower()) if part]
