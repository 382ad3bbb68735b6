"""The context of one run, for every step and plug-in: settings, clip, camera and hand models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.hands.model import HandModels
from hmpfit.progress import Progress
from hmpfit.recipes.settings import RunSettings
from hmpfit.records import Bools, Camera
from hmpfit.video.clip import Clip

InputFiles = Callable[[RunSettings], Mapping[str, str | None]]  # the files that decide a plug-in's result, by option


Samples = list[tuple[int, NDArray[np.uint8], float]]  # frame, small gray image, its size as a share of the clip's


@dataclass
class SceneSamples:
    """Small images of the scene that one step read for a later one, which takes them: the clip is decoded once less."""

    samples: Samples | None = None

    def take_samples(self) -> Samples | None:
        """Return the images, which are not kept any longer, or None where nobody read them."""
        samples, self.samples = self.samples, None
        return samples


@dataclass(frozen=True)
class RunContext:
    """One run; `hidden` [T] are the frames of `--hide-keypoints`, from which no landmarks may come."""

    settings: RunSettings
    clip: Clip
    camera: Camera
    models: HandModels
    hidden: Bools
    device: str
    progress: Progress
    detector_camera: Camera | None = None  # under which the detector works where `camera` was estimated from it
    scene: SceneSamples = field(default_factory=SceneSamples, compare=False)
    measured: Callable[[], Any] | None = None  # gives the detector's measurements where another process makes them


def argument_of(choice: str) -> str:
    """Return what follows the name of a choice such as `file:PATH`; empty where nothing does."""
    return choice.partition(":")[2]


def no_files(settings: RunSettings) -> Mapping[str, str | None]:
    """Return no files: the clip alone decides a plug-in's result."""
    return {}
