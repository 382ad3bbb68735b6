"""Record a live session as an ordinary run folder: pictures and hands as they come, result and overlay at the end.

`recording.mp4` and `hands.jsonl` are on the disk while the session goes on; what `hmpfit view`, `export` and `report`
read is made from them when it ends.
"""

import contextlib
import time
from pathlib import Path
from typing import Any

import hmpfit
from hmpfit.errors import NoHandError, RunFolderError
from hmpfit.interfaces.context import RunContext
from hmpfit.live.recorded_hands import RecordedHands
from hmpfit.live.recording_video import RecordingVideo
from hmpfit.live.records import LiveEstimate, LiveFrame, SeenFrame
from hmpfit.pipeline.publish import publish
from hmpfit.pipeline.timing import Timings
from hmpfit.progress import Progress, Silent
from hmpfit.recipes.settings import RunSettings
from hmpfit.records import Camera
from hmpfit.results.summary import read_summary
from hmpfit.run_folder import RunFolder
from hmpfit.video.ahead import WriteBehind
from hmpfit.video.clip import open_clip

VIDEO, HANDS = "recording.mp4", "hands.jsonl"


class Recorder:
    """Keeps a session in a folder. Raises RunFolderError when the folder cannot be used."""

    def __init__(self, out: Path, source: str, camera: Camera, fps: float, settings: RunSettings) -> None:
        self._settings, self._camera, self._source = settings, camera, source
        self._began = time.time()
        identity = {
            "live": source,
            "recorded": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._began)),
            "version": hmpfit.__version__,
            **settings.comparable(),
        }
        self._folder = RunFolder(out, identity, settings.overwrite, read=read_summary, wait=settings.wait)
        self._hands = RecordedHands()
        try:
            self._video = RecordingVideo(out / VIDEO, camera.width, camera.height, fps)
            self._lines = (out / HANDS).open("w", encoding="utf-8")
        except OSError as error:
            self._folder.release()
            raise RunFolderError(
                f"The folder '{out}' cannot be written ({error.strerror}); choose another -o."
            ) from None
        except BaseException:
            self._folder.release()
            raise
        self._behind = WriteBehind(8)

    @property
    def video(self) -> Path:
        """The recorded pictures."""
        return self._video.path

    def frame(self, frame: LiveFrame, seen: SeenFrame) -> None:
        """Keep a picture and what was seen in it; called on the tracker's thread."""
        self._hands.saw(seen)
        self._behind(self._video.write, frame.image, frame.time_s)

    def estimate(self, estimate: LiveEstimate, line: str) -> None:
        """Keep an estimate, and its message as a line."""
        self._hands.know(estimate)
        self._lines.write(line + "\n")
        self._lines.flush()

    def finish(self, context_parts: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
        """Write the results and return the content of `result.json`; the folder is free then.

        `context_parts` are the hand `models` and the name of the `prior`. Raises NoHandError when no hand was there for
        long enough, RunFolderError when the disk is full; pictures and lines stay in either case.
        """
        try:
            self._close()
            if self._video.frames == 0:
                raise NoHandError("Nothing was recorded.")
            clip = open_clip(self.video)
            models = context_parts["models"]
            context = RunContext(
                self._settings, clip, self._camera, models, self._hands.nothing_hidden(clip.frames), "cpu",
                progress or Silent(),
            )  # fmt: skip
            result = self._hands.result(context, self._source, context_parts["prior"])
            if result is None:
                raise NoHandError(f"No hand was there for long enough; the pictures are kept in '{self.video}'.")
            return publish(context, self._folder, result, None, Timings())
        finally:
            self._folder.release()

    def abandon(self) -> None:
        """Close the files as they are and let the folder go."""
        with contextlib.suppress(Exception):
            self._close()
        self._folder.release()

    def _close(self) -> None:
        self._lines.close()
        try:
            self._behind.__exit__(None, None, None)
        finally:
            self._video.close()
