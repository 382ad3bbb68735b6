"""H.264 files that every browser plays, with the timestamps they are given.

Separate from the reader: nothing here survives a failure. A file appears under its name only when it is complete.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import RunFolderError
from hmpfit.files.replacing import replace_file

if TYPE_CHECKING:
    from av import VideoFrame

_TICKS = 90_000  # a second; divides the common frame rates
_BT709 = 1  # the color standard that players assume for HD, by its number in the H.264 header
_LUMA = np.array([0.2126, 0.7152, 0.0722])
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class VideoWriter:
    """A video being written, as a context manager: `with VideoWriter(path, fps, width, height) as video: ...`.

    H.264, yuv420p, `+faststart`; a size that is odd gets one row or column repeated. `crf`, `preset` and
    `more` (`name=value:...`) are x264's, as is the number of `threads` (0: its own choice, which follows the cores).
    When the block raises, nothing is left behind. Raises RunFolderError when the folder or the disk refuses.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        width: int,
        height: int,
        crf: int = 23,
        preset: str = "veryfast",
        more: str = "",
        threads: int = 0,
    ) -> None:
        import av

        self.path = Path(path)
        self.width, self.height = width, height
        self._fps = fps
        self._last_tick = -1
        self._count = 0
        self._partial = self.path.with_name(f".{self.path.name}.partial")
        with encoder_errors(self.path):
            self._partial.touch()
            self._container = av.open(f"file:{self._partial}", "w", format="mp4", options={"movflags": "+faststart"})
        rate = Fraction(fps).limit_denominator(1001)
        # x264's macroblock tree depends on memory alignment: the same frames would give one of several files.
        options = {"crf": str(crf), "preset": preset, "x264-params": f"no-mbtree=1:no-deblock=0{more and ':'}{more}"}
        stream = self._container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.codec_context.thread_count = threads
        stream.codec_context.colorspace = _BT709
        stream.codec_context.color_primaries = _BT709
        stream.codec_context.color_trc = _BT709
        stream.codec_context.color_range = 1
        self._stream = stream

    def write(self, image: NDArray[np.uint8], time_s: float | None = None) -> None:
        """Append an RGB image [height, width, 3], shown at `time_s` (default: one frame after the last)."""
        if image.shape != (self.height, self.width, 3):
            raise ValueError(f"image {image.shape} does not fit a video of {self.height}x{self.width}")
        if self.height % 2 or self.width % 2:
            image = np.pad(image, ((0, self.height % 2), (0, self.width % 2), (0, 0)), mode="edge")
        frame = video_frame(image)
        step = round(_TICKS / self._fps)
        tick = self._last_tick + step if time_s is None and self._count else round((time_s or 0.0) * _TICKS)
        frame.pts = self._last_tick = max(tick, self._last_tick + 1)
        frame.time_base = Fraction(1, _TICKS)
        self._count += 1
        self._mux(frame)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import av

        try:
            if kind is None:
                with encoder_errors(self.path):
                    self._mux(None)
                    self._container.close()
                    replace_file(self._partial, self.path)
        finally:
            with contextlib.suppress(av.FFmpegError, OSError):  # the first failure has been raised already
                self._container.close()
            self._partial.unlink(missing_ok=True)

    def _mux(self, frame: "object | None") -> None:
        with encoder_errors(self.path):
            self._container.mux(self._stream.encode(frame))  # type: ignore[arg-type]


@contextlib.contextmanager
def encoder_errors(path: Path, what: str = "video") -> Iterator[None]:
    """Turn what the encoder or the disk raises inside the block into a RunFolderError that names the file."""
    import av

    try:
        yield
    except (av.FFmpegError, OSError) as error:
        number = getattr(error, "errno", None)
        if number in _FULL:
            told = f"The disk that holds '{path}' is full; free some space and run again."
        else:
            reason = os.strerror(number) if number and number > 0 else str(error)
            told = f"The {what} '{path}' cannot be written ({reason}); choose another folder with -o."
        raise RunFolderError(told) from error


def video_frame(image: NDArray[np.uint8]) -> "VideoFrame":
    """Return an RGB image [height, width, 3] of even size as a frame to encode."""
    import av

    frame = av.VideoFrame(image.shape[1], image.shape[0], "yuv420p")
    for plane, values in zip(frame.planes, yuv420p(image), strict=True):
        missing = plane.line_size - values.shape[1]  # lines of a frame are as long as suits the encoder
        plane.update(np.pad(values, ((0, 0), (0, missing))) if missing else values)  # type: ignore[arg-type]
    return frame


def yuv420p(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return an RGB image [height, width, 3] of even size as planes: luma, and two of chroma of half the size.

    BT.709, limited range. Chroma is the mean of four pixels. Luma equals swscale's to a level, in a third of its time.
    """
    import cv2

    red, blue = (np.eye(3)[n] - _LUMA for n in (0, 2))
    rows = np.stack((_LUMA * 219, blue / (1 - _LUMA[2]) * 112, red / (1 - _LUMA[0]) * 112)) / 255
    y, u, v = cv2.split(cv2.transform(image, np.column_stack((rows, (16.0, 128.0, 128.0)))))
    half = (y.shape[1] // 2, y.shape[0] // 2)
    return [y, *(cv2.resize(part, half, interpolation=cv2.INTER_AREA) for part in (u, v))]  # type: ignore[list-item]
