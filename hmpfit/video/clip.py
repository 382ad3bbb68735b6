"""The clip that a run reads: real timestamps, exact frame indices, RGB frames streamed as often as wanted.

Separate from the two kinds of source (`video_file`, `image_folder`), which know how the pixels are stored.
Memory does not grow with length, apart from one timestamp a frame.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.video.image_file import is_still

Image = NDArray[np.uint8]  # [height, width, 3] RGB
IMAGE_LIST = ".images.json"  # a list of images with their times: what `hmpfit batch --dataset` gives to a run

MOST_FPS = 100_000.0

_LOG = logging.getLogger("hmpfit")


class FrameStore(Protocol):
    """Where a clip's pixels lie; frames are counted from the start of the source."""

    width: int
    height: int
    times_s: NDArray[np.float64]  # [frames of the source, or those up to the requested end], strictly increasing
    fps: float
    still: bool  # a single picture, which has no time
    focal_px: float | None  # from the file's metadata, for the shown size
    stored_size: tuple[int, int]  # width, height before turns and before pixels are made square

    def decoded(self, start: int, stop: int, only: Sequence[int] | None = None) -> Iterator[Callable[[], Image]]:
        """Yield for each of the frames start..stop the function that makes its image, on any thread.

        With `only`, some of these in order, for those alone.
        """

    def hash_into(self, digest: "hashlib._Hash") -> None:
        """Feed the stored bytes to a digest."""


@dataclass(frozen=True)
class Clip:
    """A stretch of a video. Frame indices are the clip's own: 0 is frame `first_frame` of the source."""

    path: Path
    first_frame: int
    times_s: NDArray[np.float64]  # [T] seconds from the source's first frame, strictly increasing
    fps: float  # mean rate over the source
    store: FrameStore
    given_fps: float | None = None  # the rate that the user gave
    mirrored: bool = False  # the source is a mirror image (a selfie), which is turned back here

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return len(self.times_s)

    @property
    def width(self) -> int:
        """Width in pixels, as shown (rotation applied)."""
        return self.store.width

    @property
    def height(self) -> int:
        """Height in pixels, as shown (rotation applied)."""
        return self.store.height

    @property
    def still(self) -> bool:
        """Whether this is a single picture, which has no time."""
        return self.store.still

    def images(self, start: int | None = None, stop: int | None = None) -> Iterator[tuple[int, Image]]:
        """Yield (index, RGB image [height, width, 3] uint8) of the clip's frames start..stop, in order.

        May be called many times and from several threads; each call reads the source on its own and begins near
        `start`. Indices outside the clip are cut off as in slicing.
        """
        return ((frame, image()) for frame, image in self.decoded(start, stop))

    def decoded(self, start: int | None = None, stop: int | None = None) -> Iterator[tuple[int, Callable[[], Image]]]:
        """Do as `images` with functions in the place of images: a frame is converted where and when it is needed.

        Other frames are decoded at most.
        """
        first, last, _ = slice(start, stop).indices(self.frames)
        if first >= last:
            return
        images = self.store.decoded(self.first_frame + first, self.first_frame + last)
        for frame, image in enumerate(images, start=first):
            yield frame, partial(_mirror_image, image) if self.mirrored else image

    def chosen(self, frames: Sequence[int]) -> Iterator[tuple[int, Callable[[], Image]]]:
        """Do as `decoded` for some frames of the clip, ascending; others are decoded where these need them alone."""
        if not len(frames):
            return
        only = [self.first_frame + int(frame) for frame in frames]
        for frame, image in zip(frames, self.store.decoded(only[0], only[-1] + 1, only), strict=False):
            yield int(frame), partial(_mirror_image, image) if self.mirrored else image

    def fingerprint(self) -> str:
        """Return a digest of the source's contents and of the chosen frames; it does not depend on the path.

        The source is read once, however many steps of a run ask.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(f"{self.first_frame}:{self.first_frame + self.frames}\n".encode())
        if self.given_fps:
            digest.update(f"{self.given_fps!r} fps\n".encode())
        if self.mirrored:
            digest.update(b"mirrored\n")
        self.store.hash_into(digest)
        return digest.hexdigest()


def _mirror_image(image: Callable[[], Image]) -> Image:
    return np.ascontiguousarray(image()[:, ::-1])


def open_clip(
    path: str | Path,
    frames: tuple[int, int] | None = None,
    on_frame: Callable[[int, int], None] | None = None,
    fps: float | None = None,
    mirrored: bool = False,
) -> Clip:
    """Open a video file, a photo or a folder of images, or the half-open range `frames` of it in source frames.

    Every frame is decoded once to learn what really decodes and when it is shown, with progress reported by
    `on_frame(done, expected)`. `fps` takes the place of a video's own time stamps and of the 30 frames a second that
    are assumed, and logged, for a folder. `mirrored` says that the source is a mirror image, as selfie cameras record
    it: it is turned back, so that a right hand is a right hand. A video that breaks off is opened as far as it decodes,
    with a logged warning. Raises InputError when the path is missing, empty, no video, or a folder without images, when
    nothing decodes, when `frames` does not lie inside it, and when `fps` is not positive.
    """
    path = Path(path)
    if frames is not None and not 0 <= frames[0] < frames[1]:
        raise InputError(f"--frames {frames[0]}:{frames[1]} names no frames; A:B needs 0 <= A < B, B not included.")
    if fps is not None and not (0 < fps <= MOST_FPS):
        raise InputError(f"--fps must be above 0 and at most {MOST_FPS:g} frames a second, not {fps:g}.")
    if not path.exists():
        raise InputError(f"There is no file or folder '{path}'; give the path of a video or of a folder of images.")
    end = frames[1] if frames is not None else None
    store: FrameStore
    if path.is_dir():
        from hmpfit.video.image_folder import ImageFolder

        store = ImageFolder(path, end, on_frame, fps)
    elif path.name.endswith(IMAGE_LIST):
        from hmpfit.video.image_folder import ImageFiles, read_image_list

        files, times_s, listed_fps = read_image_list(path)
        if fps is not None:
            times_s, listed_fps = np.arange(len(files)) / fps, fps
        store = ImageFiles(files[:end], times_s[:end], listed_fps, on_frame, lenient=True)
    elif is_still(path):
        from hmpfit.video.image_folder import Photo

        store = Photo(path)
    else:
        from hmpfit.video.video_file import VideoFile

        store = VideoFile(path, end, on_frame, fps)
    available = len(store.times_s)
    first, last = frames or (0, available)
    if last > available:
        raise InputError(f"--frames {first}:{last} lies outside '{path}', which has frames 0:{available}.")
    _LOG.info("%s: %d frames, %dx%d, %.2f fps", path, last - first, store.width, store.height, store.fps)
    return Clip(path, first, store.times_s[first:last], store.fps, store, fps, mirrored=mirrored)


def clip_of_images(files: Sequence[Path], times_s: NDArray[np.float64], fps: float) -> Clip:
    """Open images of one size, shown at `times_s` [T] (strictly increasing), as a clip.

    A missing or damaged one is a black frame, logged. Raises InputError when none of them is any good.
    """
    from hmpfit.video.image_folder import ImageFiles

    return Clip(Path(files[0]).parent, 0, times_s, fps, ImageFiles(files, times_s, fps, lenient=True))
