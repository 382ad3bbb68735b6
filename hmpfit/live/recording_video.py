"""Write the pictures of a live recording as they come: a video that plays however the process ended.

Separate from `video.writer`, whose file appears when it is complete: a live stream cannot be read again.
"""

from fractions import Fraction
from pathlib import Path

from hmpfit.live.records import Image
from hmpfit.video.writer import encoder_errors, video_frame

_TICKS = 90_000
_FRAGMENT_US = 1_000_000  # what is lost at most if the process is killed
_CRF, _PRESET = "21", "ultrafast"
_KIND = "recording"  # in sentences


class RecordingVideo:
    """H.264 in fragments of a second; sizes that are odd lose a row or column. Raises RunFolderError."""

    def __init__(self, path: Path, width: int, height: int, fps: float) -> None:
        import av

        self.path, self.frames = path, 0
        self._even = width - width % 2, height - height % 2
        flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": str(_FRAGMENT_US)}
        with encoder_errors(path, _KIND):
            self._container = av.open(f"file:{path}", "w", format="mp4", options=flags)
        options = {"crf": _CRF, "preset": _PRESET, "g": str(max(1, round(fps)))}
        self._stream = self._container.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(1001), options=options
        )
        self._stream.width, self._stream.height, self._stream.pix_fmt = *self._even, "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._last = -1

    def write(self, image: Image, time_s: float) -> None:
        """Append an RGB image, shown at `time_s` from the start."""
        width, height = self._even
        frame = video_frame(image[:height, :width])
        frame.pts = self._last = max(round(time_s * _TICKS), self._last + 1)
        frame.time_base = Fraction(1, _TICKS)
        self._mux(frame)
        self.frames += 1

    def close(self) -> None:
        """Write what the encoder still holds and close the file."""
        self._mux(None)
        with encoder_errors(self.path, _KIND):
            self._container.close()

    def _mux(self, frame: object | None) -> None:
        with encoder_errors(self.path, _KIND):
            self._container.mux(self._stream.encode(frame))  # type: ignore[arg-type]
