"""Set up a session: source, camera, tracker and smoother, from the settings of a run and of the session."""

from dataclasses import dataclass, replace

import numpy as np

from hmpfit.errors import InputError
from hmpfit.geometry.intrinsics import camera_for
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.projected import projected_tracks
from hmpfit.keypoints.refinement import RefineOptions
from hmpfit.live.engine import LiveEngine
from hmpfit.live.feed import LiveFeed
from hmpfit.live.records import LiveCounts, LiveFrame, SeenFrame, SeenHand
from hmpfit.live.smoother import FixedLagSmoother, SmootherOptions
from hmpfit.live.smoother_copy import smoother_beside
from hmpfit.live.tracker import HandTracker, TrackerOptions
from hmpfit.pipeline.devices import one_thread
from hmpfit.pipeline.fit import prior_name
from hmpfit.pipeline.run import prior_of
from hmpfit.priors.opening import Prior
from hmpfit.recipes.schema import Recipe
from hmpfit.recipes.settings import RunSettings
from hmpfit.records import DETECTED, Camera, HandMotion
from hmpfit.video.live_source import LiveSource

MOST_HANDS = 2  # by default: what two cores process at 30 frames a second


@dataclass(frozen=True)
class LiveTools:
    """What every session with these settings needs and what takes time to load."""

    models: HandModels
    camera: Camera
    tracker: HandTracker
    smoother: FixedLagSmoother
    prior: str

    @classmethod
    @one_thread()  # or threads of torch would stay, and a process that has some cannot be copied
    def load(
        cls, settings: RunSettings, width: int, height: int, options: SmootherOptions | None = None
    ) -> "LiveTools":
        """Load networks, hand and prior for pictures of a size. Raises InputError."""
        lens, keypoints = settings.recipe.camera, settings.recipe.keypoints
        camera = camera_for(width, height, settings.intrinsics, lens.focal_per_longer_side, lens.focal_px)
        if len(camera.K) > 1:
            raise InputError("--intrinsics gives a camera per frame, and a live source has no given frames.")
        refine = RefineOptions(
            views=settings.views, gamma=keypoints.gamma, gamma_px=keypoints.gamma_px, seed=settings.seed,
            views_every_s=keypoints.views_every_s,
        )  # fmt: skip
        chosen = TrackerOptions(settings.hands, settings.max_hands or MOST_HANDS, refine)
        models, prior = load_hand_models(settings.hand_model), prior_of(settings)
        options = options or SmootherOptions()
        tools = cls(
            models, camera, HandTracker(load_landmarker(settings.hand_landmarker), camera, chosen),
            FixedLagSmoother(models, camera, settings.recipe, prior, options), prior_name(prior),
        )  # fmt: skip
        tools.warm_up(settings.recipe, prior, options)
        return tools

    def warm_up(self, recipe: Recipe, prior: Prior | None, options: SmootherOptions) -> None:
        """Do once what is slow the first time, on a hand that was never seen."""
        smoother = FixedLagSmoother(self.models, self.camera, recipe, prior, options)
        count = 16
        still = HandMotion(
            np.zeros((1, count, 3)), np.zeros((1, count, 15, 3)), np.tile([0.0, 0.0, 0.6], (1, count, 1)),
            np.zeros((1, 10)), np.ones(1, dtype=bool), np.full((1, count), DETECTED, np.uint8),
        )  # fmt: skip
        points = pose_hands(self.models, still).joints[0]
        pixels = projected_tracks(still, self.models, self.camera, np.arange(count) / 30).xy_px[0]
        frames = [
            SeenFrame(n, n / 30, n / 30, (SeenHand(0, True, pixels[n], points[n] - points[n, :1], np.ones(21)),))
            for n in range(count)
        ]
        for first in range(0, count, 4):
            smoother.update(frames[first : first + 4])
        black = np.zeros((self.camera.height, self.camera.width, 3), np.uint8)
        self.tracker(LiveFrame(-1, -1e9, 0.0, black))

    def engine(self, source: LiveSource, mirrored: bool = False) -> LiveEngine:
        """Return an engine that is ready to run on a source of the size that was loaded for.

        Where this process can be copied the smoother runs in a copy.
        """
        return LiveEngine(LiveFeed(source, LiveCounts(), mirrored), self.tracker, smoother_beside(self.smoother))


def live_settings(settings: RunSettings) -> RunSettings:
    """Return the settings of a session. Raises InputError for choices that only a whole video can have."""
    whole = {
        "--init": settings.init != "keypoints",
        "--keypoints": settings.keypoints not in ("blend", "mediapipe"),
        "--hide-keypoints": bool(settings.hide_keypoints),
        "--frames": settings.frames is not None,
        "--boxes": settings.boxes is not None,
        "--camera": settings.camera_motion not in ("auto", "static"),
    }
    for option, given in whole.items():
        if given:
            raise InputError(f"{option} is for whole videos (`hmpfit run`); leave it out of `hmpfit live`.")
    return replace(settings, workers=1)
