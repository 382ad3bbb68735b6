"""Frames of a camera, a network stream or a file, read once and in order.

Separate from `clip`, whose frames can be read as often as wanted: what comes live comes once. Only the protocols listed
here are spoken, so that a playlist from elsewhere cannot name a file of this machine.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.video.placement import Placement
from hmpfit.video.rgb import upright_rgb

if TYPE_CHECKING:
    import av.container

STREAM_SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "tcp", "rtp")
_PROTOCOLS = f"{','.join(STREAM_SCHEMES)},tls,httpproxy,crypto,hls,ffrtmphttp"
_DEVICE = re.compile(r"(\d{1,3})|/dev/video(\d{1,3})")
_BUSY = (16,)  # EBUSY
_UNKNOWN_FPS = 30.0
_MOST_PIXELS = 8192 * 8192


class StreamEndedError(InputError):
    """A camera or stream ended by itself; the sentence has the reason."""


@dataclass(frozen=True)
class LivePicture:
    """A picture, when it was taken on the source's clock (None: unknown), and its size."""

    time_s: float | None
    image: NDArray[np.uint8]  # [height, width, 3] RGB


def kind_of_source(text: str) -> str:
    """Return "camera", "stream" or "file" for what a user wrote. Raises InputError for an address of another scheme."""
    if _DEVICE.fullmatch(text):
        return "camera"
    scheme, found, _ = text.partition("://")
    if not found:
        return "file"
    if scheme.lower() not in STREAM_SCHEMES:
        raise InputError(f"'{text}' cannot be followed: only {', '.join(f'{one}://' for one in STREAM_SCHEMES)} can.")
    return "stream"


class LiveSource:
    """An opened source; `close` ends it. Raises InputError where it cannot be opened.

    `size` and `fps` are what a camera is asked for. A stream that gives nothing for `patience_s` has stalled.
    """

    def __init__(
        self, text: str, size: tuple[int, int] | None = None, fps: float | None = None, patience_s: float = 5.0
    ) -> None:
        self.text, self.kind, self._patience_s = text, kind_of_source(text), patience_s
        self._container = self._opened(size, fps)
        try:
            if not self._container.streams.video:
                raise InputError(f"'{text}' holds no pictures; give a video, a camera or a stream.")
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "NONE"
            self.fps = float(self._stream.average_rate or fps or _UNKNOWN_FPS)
            self._pictures = self._decoded()
            self._first: LivePicture | None = next(self._pictures, None)
        except BaseException:
            self._container.close()
            raise
        if self._first is None:
            self._container.close()
            raise InputError(f"Nothing in '{text}' can be decoded; it is damaged or no video.")
        self.height, self.width = self._first.image.shape[:2]

    def pictures(self) -> Iterator[LivePicture]:
        """Yield the pictures. Raises StreamEndedError when a source stalls, breaks off or changes its size."""
        assert self._first is not None
        yield self._first
        for picture in self._pictures:
            if picture.image.shape[:2] != (self.height, self.width):
                raise StreamEndedError(
                    f"'{self.text}' changed its picture from {self.width}x{self.height} to "
                    f"{picture.image.shape[1]}x{picture.image.shape[0]}; start again with the new size."
                )
            yield picture
        if self.kind == "camera":
            raise StreamEndedError(f"The camera '{self.text}' gives no more pictures; was it unplugged?")

    def close(self) -> None:
        """Let the source go."""
        self._container.close()

    def _opened(self, size: tuple[int, int] | None, fps: float | None) -> "av.container.InputContainer":
        import av

        options: dict[str, str] = {}
        name, form, timeout = self.text, None, None
        if self.kind == "camera":
            name, form = device_name(self.text), "v4l2"
            if size is not None:
                options["video_size"] = f"{size[0]}x{size[1]}"
            if fps is not None:
                options["framerate"] = str(Fraction(fps).limit_denominator(1001))
        elif self.kind == "stream":
            timeout = (2 * self._patience_s, self._patience_s)
            options = {"protocol_whitelist": _PROTOCOLS, "fflags": "nobuffer", "max_pixels": str(_MOST_PIXELS)}
            if self.text.lower().startswith("rtsp"):
                options["rtsp_transport"] = "tcp"
        else:
            if not Path(name).is_file():
                raise InputError(f"There is no file or camera '{name}'; {cameras_here()}")
            name, options = f"file:{name}", {"protocol_whitelist": "file"}
        try:
            return av.open(name, format=form, options=options, timeout=timeout, metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise InputError(self._why(error)) from error

    def _why(self, error: Any) -> str:
        number = getattr(error, "errno", None)
        if self.kind == "file":
            return f"'{self.text}' is not a video that can be read."
        if self.kind == "stream":
            return f"The stream '{self.text}' cannot be opened ({getattr(error, 'strerror', None) or error})."
        if number in _BUSY:
            return f"The camera '{self.text}' is in use by another program; close that, or choose another camera."
        if number == 13:
            return f"You may not use the camera '{self.text}'; on Linux join the group 'video' and log in again."
        if not Path(device_name(self.text)).exists():
            return f"There is no camera '{self.text}'; {cameras_here()}"
        reason = getattr(error, "strerror", None) or error
        return f"The camera '{self.text}' cannot be used ({reason}); try another --size or --fps."

    def _decoded(self) -> Iterator[LivePicture]:
        import av

        aspect, here = self._stream.sample_aspect_ratio, None
        try:
            for frame in self._container.decode(self._stream):
                if here is None or here.stored_size != (frame.width, frame.height):
                    here = Placement.of(frame, aspect)  # once: a frame that was asked lives until cycles are collected
                image = np.ascontiguousarray(upright_rgb(frame, here))
                yield LivePicture(None if frame.time is None else float(frame.time), image)
        except (av.FFmpegError, OSError) as error:
            if self.kind == "file":
                return  # damaged from here on: as far as it decodes
            stalled = isinstance(error, av.ExitError | TimeoutError) or getattr(error, "errno", None) == 110
            what = f"gave nothing for {self._patience_s:g} s" if stalled else f"broke off ({error.strerror or error})"
            raise StreamEndedError(f"The {self.kind} '{self.text}' {what}.") from error


def device_name(text: str) -> str:
    """Return the device file of a camera's number or name."""
    return f"/dev/video{int(text)}" if text.isdecimal() else text


def cameras_here() -> str:
    """Return a sentence that lists the cameras of this machine."""
    if not sys.platform.startswith("linux"):
        return "give a video file or a stream; cameras are opened on Linux only."
    found = sorted(str(path) for path in Path("/dev").glob("video*") if _DEVICE.fullmatch(str(path)))
    return f"cameras here: {', '.join(found)}." if found else "this machine has no camera; give a video or a stream."
