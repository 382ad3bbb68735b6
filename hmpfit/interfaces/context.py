"""The context of one run, for every step and plug-in: settings, clip, camera and hand models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hmpfit.hands.model import HandModels
from hmpfit.progress import Progress
from hmpfit.recipes.settings import RunSettings
from hmpfit.records import Bools, Camera
from hmpfit.video.clip import Clip

InputFiles = Callable[[RunSettings], Mapping[str, str | None]]  # the files that decide a plug-in's result, by option


@dataclass(frozen=True)
class RunContext:
    """One run; `hidden` [T] are the frames of `--hide-keypoints`, which no evidence may come from."""

    settings: RunSettings
    clip: Clip
    camera: Camera
    models: HandModels
    hidden: Bools
    device: str
    progress: Progress
    detector_camera: Camera | None = None  # under which the detector works where `camera` was estimated from it


def argument_of(choice: str) -> str:
    """Return what follows the name of a choice such as `file:PATH`; empty where nothing does."""
    return choice.partition(":")[2]


def no_files(settings: RunSettings) -> Mapping[str, str | None]:
    """Return no files: the clip alone decides a plug-in's result."""
    return {}
