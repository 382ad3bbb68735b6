"""What the settings of a run say about its clip: which file, which frames, and which of them are withheld.

Separate from `clip`, which knows no settings; NumPy and PyAV are imported where they are needed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hmpfit.errors import InputError
from hmpfit.progress import Progress, count_from_total
from hmpfit.recipes.settings import RunSettings

if TYPE_CHECKING:
    from hmpfit.records import Bools
    from hmpfit.video.clip import Clip


def open_of_run(
    video: Path, settings: RunSettings, progress: Progress, on_frame: Callable[[], None] | None = None
) -> "Clip":
    """Open the clip that a run's settings choose; raises InputError as `open_clip`, and what `on_frame()` raises."""
    from hmpfit.video.clip import open_clip  # numpy and PyAV, which the command's --help does without

    advance = count_from_total(progress, "reading the video")

    def report(done: int, expected: int) -> None:
        if on_frame is not None:
            on_frame()
        advance(done, expected)

    return open_clip(video, settings.frames, report, settings.fps, settings.mirrored)


def hidden_frames(clip: "Clip", settings: RunSettings) -> "Bools":
    """Return which frames of the clip are withheld, [T]. Raises InputError for a stretch outside the clip."""
    import numpy as np

    hidden = np.zeros(clip.frames, dtype=bool)
    first, last = clip.first_frame, clip.first_frame + clip.frames
    for a, b in settings.hide_keypoints:
        if not first <= a < b <= last:
            raise InputError(f"--hide-keypoints {a}:{b} lies outside the fitted frames {first}:{last}.")
        hidden[a - first : b - first] = True
    if hidden.all():
        raise InputError("--hide-keypoints withholds every frame; leave some to fit.")
    return hidden
