"""The pictures of a live recording, on the disk as they come: a video that plays however the process ended.

Separate from `video.writer`, whose file appears when it is complete: what is live has no second chance.
"""

import os
from fractions import Fraction
from pathlib import Path

from hmpfit.errors import RunFolderError
from hmpfit.live.records import Image
from hmpfit.video.writer import yuv420p

_TICKS = 90_000
_FRAGMENT_US = 1_000_000  # what is lost at most if the process is killed
_CRF, _PRESET = "21", "ultrafast"


class RecordingVideo:
    """H.264 in fragments of a second; sizes that are odd lose a row or column. Raises RunFolderError."""

    def __init__(self, path: Path, width: int, height: int, fps: float) -> None:
        import av

        self.path, self.frames = path, 0
        self._even = width - width % 2, height - height % 2
        flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": str(_FRAGMENT_US)}
        try:
            self._container = av.open(f"file:{path}", "w", format="mp4", options=flags)
        except (av.FFmpegError, OSError) as error:
            raise self._explained(error) from error
        options = {"crf": _CRF, "preset": _PRESET, "g": str(max(1, round(fps)))}
        self._stream = self._container.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(1001), options=options
        )
        self._stream.width, self._stream.height, self._stream.pix_fmt = *self._even, "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._last = -1

    def write(self, image: Image, time_s: float) -> None:
        """Append an RGB image, shown at `time_s` from the start."""
        import av

        width, height = self._even
        frame = av.VideoFrame.from_ndarray(yuv420p(image[:height, :width]), format="yuv420p")
        frame.pts = self._last = max(round(time_s * _TICKS), self._last + 1)
        frame.time_base = Fraction(1, _TICKS)
        self._mux(frame)
        self.frames += 1

    def close(self) -> None:
        """Write what the encoder still holds and close the file."""
        import av

        self._mux(None)
        try:
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            raise self._explained(error) from error

    def _mux(self, frame: object | None) -> None:
        import av

        try:
            self._container.mux(self._stream.encode(frame))  # type: ignore[arg-type]
        except (av.FFmpegError, OSError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> RunFolderError:
        number = getattr(error, "errno", None)
        reason = os.strerror(number).lower() if number and number > 0 else str(error)
        return RunFolderError(f"The recording '{self.path}' cannot be written ({reason}).")
