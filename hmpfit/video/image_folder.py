"""Frames stored as images: a folder in natural order (2 before 10), a list with the frames' times, or one photo.

Separate from `clip` because a folder has no times: they come from the option `--fps` and the numbers in the names.
"""

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.opening import read_bytes
from hmpfit.files.structured import read_json_table
from hmpfit.video.image_file import SUFFIXES, focal_px, read_image, rough_shape, warn_of_pages

ASSUMED_FPS = 30.0

_LOG = logging.getLogger("hmpfit")


class ImageFiles:
    """Images of one size with known times; see `clip.FrameStore`.

    With `lenient`, frames whose image is missing, damaged or of another size are black, counted and logged: the clip
    keeps its time, and nothing is found there. Otherwise, and when no image is any good, InputError names the file.
    """

    still = False
    focal_px: float | None = None

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
                    small = rough_shape(file)
                    self.focal_px = focal_px(file, first.shape[1], first.shape[0])
                elif np.abs(np.subtract(rough_shape(file), small)).max() > 1:  # decoders round by one
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
        self.stored_size = (self.width, self.height)

    def decoded(
        self, start: int, stop: int, only: Sequence[int] | None = None
    ) -> Iterator[Callable[[], NDArray[np.uint8]]]:
        """Yield for each of the images start..stop, or `only` for some, what reads it as RGB [height, width, 3]."""
        numbers = range(*slice(start, stop).indices(len(self._files))) if only is None else only
        return (partial(self._image, number) for number in numbers)

    def _image(self, number: int) -> NDArray[np.uint8]:
        if number in self._lost:
            return np.zeros((self.height, self.width, 3), np.uint8)
        image = read_image(self._files[number])
        if image.shape[:2] != (self.height, self.width):
            raise _other_size(self._files[number])
        return image

    def hash_into(self, digest: "hashlib._Hash") -> None:
        """Feed the names and contents of the images to a digest."""
        for number, file in enumerate(self._files):
            content = b"" if number in self._lost else read_bytes(file)
            digest.update(f"{file.name}\n{len(content)}\n".encode())
            digest.update(content)


class ImageFolder(ImageFiles):
    """All images of a folder; `end` leaves those after that many alone.

    Numbers that lack between names such as 0005.jpg and 0015.jpg are a gap in time. `fps` counts those numbers, lacking
    ones included; None assumes 30 and says so.
    """

    def __init__(
        self, path: Path, end: int | None, on_frame: Callable[[int, int], None] | None = None, fps: float | None = None
    ) -> None:
        files = images_in(path)[:end]
        if not files:
            raise InputError(f"The folder '{path}' holds no images ({', '.join(SUFFIXES)}).")
        rate = ASSUMED_FPS if fps is None else fps
        ticks = frame_numbers(files)
        super().__init__(files, ticks / rate, rate, on_frame)
        if fps is None:
            _LOG.warning(
                "'%s' is a folder of images: %g frames a second are assumed; --fps says otherwise", path, ASSUMED_FPS
            )
        gaps = np.flatnonzero(np.diff(ticks) > 1)
        if len(gaps):
            lost = int((np.diff(ticks)[gaps] - 1).sum())
            _LOG.warning(
                "'%s': the numbers in the names leave out %d frames (first between '%s' and '%s'); they are kept as "
                "gaps in time", path, lost, files[gaps[0]].name, files[gaps[0] + 1].name,
            )  # fmt: skip


class Photo(ImageFiles):
    """A single picture: a clip of one frame that has no time."""

    still = True

    def __init__(self, path: Path) -> None:
        super().__init__([path], np.zeros(1), ASSUMED_FPS)
        warn_of_pages(path)


def images_in(path: Path) -> list[Path]:
    """Return the images of a folder in natural order, hidden files left out."""
    try:
        found = [p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    except OSError as error:
        raise InputError(f"The folder '{path}' cannot be read: {error.strerror or error}.") from None
    return sorted(found, key=_natural)


def frame_numbers(files: Sequence[Path]) -> NDArray[np.float64]:
    """Return each file's place in time in frames [T], from the number in its name.

    0, 1, 2, ... where the names do not count: they differ in more than one number, or the numbers are no multiples of
    the step that most of them take (time stamps). A step of 10 throughout is a step of one frame.
    """
    in_a_row = np.arange(len(files), dtype=np.float64)
    split = [re.split(r"(\d+)", file.stem) for file in files]
    if len(files) < 3 or len({len(parts) for parts in split}) > 1:
        return in_a_row
    varying = [k for k in range(len(split[0])) if len({parts[k] for parts in split}) > 1]
    if len(varying) != 1 or not all(parts[varying[0]].isdigit() for parts in split):
        return in_a_row
    numbers = [int(parts[varying[0]]) for parts in split]
    steps = np.diff(np.array([number - numbers[0] for number in numbers], dtype=np.float64))
    unit, times = max(Counter(steps.tolist()).items(), key=lambda item: (item[1], -item[0]))
    if unit <= 0 or 2 * times <= len(steps) or (steps % unit != 0).any():
        return in_a_row
    return np.concatenate(([0.0], np.cumsum(steps / unit)))


def read_image_list(path: Path) -> tuple[list[Path], NDArray[np.float64], float]:
    """Return files, times [T] and frame rate of a `*.images.json`: `{"fps": 30, "images": [...], "times_s": [...]}`.

    Paths are relative to the list's folder; `times_s` may lack. Raises InputError when it is no such list.
    """
    try:
        stored = read_json_table(path)
        fps, files = float(stored["fps"]), [path.parent / name for name in stored["images"]]
        times_s = np.asarray(stored.get("times_s", np.arange(len(files)) / fps), dtype=np.float64)
    except UnreadableFileError as error:
        raise InputError(f"'{path}' is not a list of images with 'fps' and 'images': {error.reason}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise InputError(f"'{path}' is not a list of images with 'fps' and 'images' ({error!r}).") from None
    if not files or not 0 < fps < 1e5 or times_s.shape != (len(files),) or not (np.diff(times_s) > 0).all():
        raise InputError(f"'{path}' needs images, a positive 'fps' and as many rising 'times_s' as images.")
    return files, times_s, fps


def write_image_list(path: Path, files: Sequence[Path], times_s: NDArray[np.float64], fps: float) -> Path:
    """Write a list that `read_image_list` reads, and return its path."""
    content = {"fps": fps, "images": [str(file.resolve()) for file in files], "times_s": [float(t) for t in times_s]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def _other_size(file: Path) -> InputError:
    return InputError(
        f"The image '{file}' has another size than the first one in its folder; all must be equal. "
        "If they have nothing to do with each other, add --unordered."
    )


def _natural(file: Path) -> list[tuple[int, int | str]]:
    """Sort key that counts: frame2 before frame10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", file.name.lower()) if part]
