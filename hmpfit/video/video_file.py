"""Frames of a video file through PyAV: real timestamps, seeking, and damage survived as players do.

Separate from `clip` because only this file knows about containers and codecs, and from `placement`, which knows how
stored pixels are shown. One pass at opening decodes every frame without converting it (under a millisecond at 720p),
because headers lie about what decodes.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.files.opening import explained, open_regular
from hmpfit.video.decoding import decoded_frames, opened, video_stream
from hmpfit.video.metadata import focal_from_metadata
from hmpfit.video.placement import Placement, letterboxed
from hmpfit.video.rgb import upright_rgb

if TYPE_CHECKING:
    import hashlib

    import av
    import av.container
    import av.video
    import av.video.reformatter

_LOG = logging.getLogger("hmpfit")
_WORTH_A_SEEK = 30  # frames: decoding this many costs no more than a seek
_UNKNOWN_FPS = 30.0


class VideoFile:
    """A video on disk; see `clip.FrameStore`. `end` stops the opening pass after that many frames.

    `fps` replaces the file's time stamps. Where the picture changes its size, all frames are fitted into the size that
    most of them have.
    """

    still = False

    def __init__(
        self,
        path: Path,
        end: int | None,
        on_frame: Callable[[int, int], None] | None = None,
        fps: float | None = None,
    ) -> None:
        self.path = path
        if path.stat().st_size == 0:
            raise InputError(f"'{path}' is empty; give a video with at least one frame.")
        with opened(path) as container:
            stream = video_stream(container, path)
            stream.codec_context.options = {"skip_loop_filter": "all"}  # a third of H.264's time; no pixel is read
            found = _Pass(stream, end, on_frame)
            found.decode_all(container)
            metadata = {**container.metadata, **stream.metadata}
        if not found.placements:
            raise InputError(f"Nothing in '{path}' can be decoded; the file is damaged or not a video.")
        found.warn(path)
        self._placement = found.most_common
        self.width, self.height = self._placement.width, self._placement.height
        self.stored_size = self._placement.stored_size
        self.focal_px = focal_from_metadata(metadata, self.width, self.height)
        pts, step = found.pts, found.step
        if fps is None:
            self.times_s = _increasing(np.array(found.times), step)
            span = self.times_s[-1] - self.times_s[0]
            mean_fps = (len(pts) - 1) / span if span > 0 else 1 / step
            self.fps = float(1 / step if abs(mean_fps * step - 1) < 1e-3 else mean_fps)
        else:
            self.times_s, self.fps = np.arange(len(pts)) / fps, fps
        known = [stamp for stamp in pts if stamp is not None]
        self._index = {stamp: i for i, stamp in enumerate(known)} if len(set(known)) == len(pts) else {}
        self._keys = np.array(found.keys or [0])
        self._pts = pts

    def decoded(
        self, start: int, stop: int, only: Sequence[int] | None = None
    ) -> Iterator[Callable[[], NDArray[np.uint8]]]:
        """Yield for each of the frames start..stop the function that converts it to RGB, as players show it.

        With `only` [ascending] for those alone; frames to which no other refers are then not decoded.
        """
        if only is not None:
            yield from self._chosen(deque(only))
            return
        next_wanted = start
        for index, frame in self._frames_from(start):
            if index >= stop:
                return
            if index >= next_wanted:
                yield partial(self._rgb, frame)
                next_wanted = index + 1

    def _chosen(self, left: deque[int]) -> Iterator[Callable[[], NDArray[np.uint8]]]:
        for skips in (True, False):  # the second time for what a decoder that skips did not give
            frames = self._frames_from(left[0], {self._pts[n] for n in left} if skips else None) if left else ()
            for index, frame in frames:
                if skips and index > left[0]:
                    break
                if index >= left[0]:
                    left.popleft()
                    yield partial(self._rgb, frame)
                    if not left:
                        return

    def hash_into(self, digest: "hashlib._Hash") -> None:
        """Feed the file's bytes to a digest."""
        with explained(self.path), open_regular(self.path) as file:
            while block := file.read(1 << 20):
                digest.update(block)

    def _frames_from(
        self, start: int, stamps: set[int | None] | None = None
    ) -> Iterator[tuple[int, "av.video.frame.VideoFrame"]]:
        """Yield (index, frame) beginning at or before `start`; from a key frame where a seek can be trusted.

        With `stamps`, `start` among them, others may be left out.
        """
        key = int(self._keys[self._keys <= start].max(initial=0))
        stamps = stamps if self._index else None
        with opened(self.path) as container:
            stream = video_stream(container, self.path)
            stamp = self._pts[key]
            if key >= _WORTH_A_SEEK and self._index and stamp is not None:
                container.seek(stamp, stream=stream)
                sought = self._counted(decoded_frames(container, stream, [], stamps=stamps), start)
                first = next(sought, None)
                if first is not None:
                    yield first
                    yield from sought
                    return
        with opened(self.path) as container:
            frames = decoded_frames(container, video_stream(container, self.path), [], stamps=stamps)
            yield from enumerate(frames) if stamps is None else self._counted(frames, start)

    def _counted(
        self, frames: Iterator["av.video.frame.VideoFrame"], start: int
    ) -> Iterator[tuple[int, "av.video.frame.VideoFrame"]]:
        """Number frames by their timestamps, from `start` on; yield nothing when the seek missed `start`."""
        expected = None
        for frame in frames:
            index = -1 if frame.pts is None else self._index.get(frame.pts, -1)
            if expected is None and index > start:
                return
            if index >= start:
                yield index, frame
                expected = index + 1

    def _rgb(self, frame: "av.video.frame.VideoFrame") -> NDArray[np.uint8]:
        here = self._placement  # `Placement.of` reads side data, after which only the cycle collector frees a frame
        if (frame.width, frame.height) != here.stored_size:
            here = Placement.of(frame, here.aspect)
        return letterboxed(upright_rgb(frame, here), self.width, self.height)


class _Pass:
    """What the opening pass over a stream finds: time stamps, key frames, sizes and damage."""

    def __init__(
        self, stream: "av.video.stream.VideoStream", end: int | None, on_frame: Callable[[int, int], None] | None
    ) -> None:
        self._stream, self._end, self._on_frame = stream, end, on_frame
        # An edit list makes the index shorter than the number of stored frames.
        indexed = len(stream.index_entries)
        promised = min(int(stream.frames), indexed) if indexed else int(stream.frames)
        self.expected = promised if end is None else min(end, promised or end)
        self.step = 1 / float(stream.average_rate) if stream.average_rate else 1 / _UNKNOWN_FPS
        self.placements: dict[tuple[int, int], list[Any]] = {}  # by stored size: placement, first frame, frames
        self.damage: list[str] = []
        self.pts: list[int | None] = []
        self.times: list[float] = []
        self.keys: list[int] = []
        self._trimmed = [0]

    @property
    def most_common(self) -> Placement:
        """The placement of most frames; of equally many the first."""
        found: Placement = max(self.placements.values(), key=lambda told: told[2])[0]
        return found

    def decode_all(self, container: "av.container.InputContainer") -> None:
        """Decode up to the asked-for end and note what comes."""
        aspect = self._stream.sample_aspect_ratio
        for frame in decoded_frames(container, self._stream, self.damage, self._trimmed):
            size = (frame.width, frame.height)
            if size not in self.placements:
                self.placements[size] = [Placement.of(frame, aspect), len(self.pts), 0]
            self.placements[size][2] += 1
            if frame.key_frame:
                self.keys.append(len(self.pts))
            self.pts.append(frame.pts)
            self.times.append(np.nan if frame.time is None else float(frame.time))
            if self._on_frame is not None:
                self._on_frame(len(self.pts), max(self.expected, len(self.pts)))
            if len(self.pts) == self._end:
                return

    def warn(self, path: Path) -> None:
        """Log what is wrong with the file."""
        count = len(self.pts) + self._trimmed[0]
        if self.damage or (self._end is None and count < self.expected):
            reason = self.damage[0] if self.damage else "it ends early"
            promised = f" of the {self.expected} it announces" if self.expected > count else ""
            _LOG.warning(
                "'%s' is damaged (%s): using the %d frames%s that decode", path, reason, len(self.pts), promised
            )
        if len(self.placements) > 1:
            (one, *_), (other, index, _) = list(self.placements.values())[:2]
            kept = self.most_common
            _LOG.warning(
                "'%s' changes its picture from %dx%d to %dx%d at frame %d: all frames are scaled into %dx%d with their "
                "shape kept, and intrinsics are of that size",
                path, one.width, one.height, other.width, other.height, index, kept.width, kept.height,
            )  # fmt: skip


def _increasing(times: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Return seconds from the first frame, strictly increasing: stamps that are missing or run backwards are filled."""
    filled = np.where(np.isnan(times), -np.inf, times)
    earlier = np.concatenate(([-np.inf], np.maximum.accumulate(filled)[:-1]))
    good = np.flatnonzero(filled > earlier)
    if len(good) == 0:
        return np.arange(len(times)) * step
    index = np.arange(len(times))
    result = np.interp(index, good, times[good])
    result[: good[0]] = times[good[0]] - step * (good[0] - index[: good[0]])
    result[good[-1] + 1 :] = times[good[-1]] + step * (index[good[-1] + 1 :] - good[-1])
    return result - result[0]
