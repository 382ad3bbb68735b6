"""One run: open its inputs, compare its identity with the folder's, and take its steps in order."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hmpfit
from hmpfit import registry
from hmpfit.errors import InputError
from hmpfit.fingerprints import fingerprint
from hmpfit.fitting.stages import Fitted
from hmpfit.geometry.intrinsics import camera_for
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.context import RunContext
from hmpfit.keypoints.refinement import Measurements
from hmpfit.pipeline import camera_motion, detect, evidence, focal_length, initialize, publish
from hmpfit.pipeline import fit as fitting
from hmpfit.pipeline.devices import device_for
from hmpfit.pipeline.input_fingerprints import clip_fingerprint, file_fingerprints, hand_model_fingerprints
from hmpfit.pipeline.size import result_file
from hmpfit.pipeline.stage_files import StoreStage, stage_store
from hmpfit.pipeline.timing import Timings
from hmpfit.priors.opening import Prior, open_prior
from hmpfit.progress import Progress
from hmpfit.recipes import RunSettings
from hmpfit.records import Camera, FitRecord, Floats, KeypointTracks
from hmpfit.results.summary import read_summary
from hmpfit.run_folder import RunFolder
from hmpfit.video.clip import Clip
from hmpfit.video.of_run import hidden_frames, open_of_run

log = logging.getLogger("hmpfit")


@dataclass(frozen=True)
class Run:
    """A run folder and what its steps share; every step that the folder holds already is read instead of done again."""

    context: RunContext
    prior: Prior | None
    folder: RunFolder
    stage: StoreStage
    video_name: str  # what the result calls the video
    timings: Timings = field(default_factory=Timings)

    @classmethod
    def open(
        cls,
        video: Path,
        out: Path,
        settings: RunSettings,
        progress: Progress,
        video_name: str | None = None,
        opened: Callable[[], Clip] | None = None,
        measured: Callable[[], Measurements] | None = None,
    ) -> "Run":
        """Open the clip, or take the `opened` one, the models and the folder. Raises InputError and RunFolderError.

        `measured` gives the hands where somebody is measuring them already.
        """
        timings = Timings()
        with timings.of("decode"):
            models = load_hand_models(settings.hand_model)
            clip = open_of_run(video, settings, progress) if opened is None else opened()
            camera = _camera(clip, settings)
            camera_motion.check_camera_file(clip, settings)
            hidden, device = hidden_frames(clip, settings), device_for(settings.device)
            context = RunContext(settings, clip, camera, models, hidden, device, progress, measured=measured)
            prior = prior_of(settings)
            folder = RunFolder(
                out, run_identity(context, prior), settings.overwrite, read=read_summary, wait=settings.wait
            )
        return cls(
            context, prior, folder, stage_store(folder), str(video) if video_name is None else video_name, timings
        )

    def with_camera(self) -> "Run":
        """Return the run with the camera that its steps after detection use: it may be estimated from the hands."""
        with self.timings.of("keypoints"):
            return replace(self, context=focal_length.with_estimated_camera(self.context, self.stage))

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.folder.release()

    def detect(self) -> KeypointTracks:
        """Return the detector's tracks, without the withheld frames."""
        return detect.detector_tracks(self.context, self.stage)

    def hidden_px(self, tracks: KeypointTracks) -> Floats | None:
        """Return landmarks of the withheld frames, found separately and never given to the fit."""
        return detect.hidden_landmarks(self.context, self.stage, tracks)

    def start(self) -> evidence.FitStart:
        """Do the steps before the fit of a run that has its camera."""
        with self.timings.of("keypoints"):
            found = detect.detect(self.context, self.stage)
        with self.timings.of("init"):
            initial = initialize.initialize(self.context, self.stage, found)
            start = evidence.gather_evidence(self.context, self.stage, found, initial)
        with self.timings.of("camera"):
            motion = camera_motion.find_camera_motion(self.context, self.stage, start)
            return replace(start, camera_motion=motion)

    def store_fit(self, start: evidence.FitStart, fitted: Fitted) -> None:
        """Keep a fit that was made in a batch, as if this run had made it."""
        fitting.store_fit(self.context, self.stage, start, self.prior, lambda: fitted)

    def fit(self) -> FitRecord:
        """Return the fitted motion."""
        run = self.with_camera()
        return run._fit(run.start())

    def finish(self) -> dict[str, Any]:
        """Do what is left to do, write the results and return the content of `result.json`."""
        done = self.folder.finished()
        if done is not None:
            log.info("'%s' is finished with these settings; nothing to do.", self.folder.path)
            return done
        return self.with_camera()._finish()

    def _finish(self) -> dict[str, Any]:
        start = self.start()
        result, hidden_px = self._fit(start), None
        tracks = start.detected.detector
        if tracks is not None:
            hidden_px = self.hidden_px(tracks)
            if hidden_px is not None:
                hidden_px = publish.hidden_of_result(hidden_px, tracks, result)
        return publish.publish(self.context, self.folder, result, hidden_px, self.timings)

    def _fit(self, start: evidence.FitStart) -> FitRecord:
        with self.timings.of("fit"):
            return fitting.fit_clip(self.context, self.stage, start, self.prior, self.video_name)


def run_identity(context: RunContext, prior: Prior | None) -> dict[str, Any]:
    """Return everything that decides the result, as plain values: contents of files, never their paths."""
    settings = context.settings
    sources = [detect.load_source(name) for name in (detect.DETECTOR, detect.source_name(context))]
    deciding = [*(source.files for source in sources), detect.load_initializer(context).files]
    shape_from = settings.shape_from and str(result_file(Path(settings.shape_from)))
    files = {"shape_from": shape_from} | {
        option: path for files_of in deciding for option, path in files_of(settings).items()
    }
    files.update(camera_motion.camera_files(context))
    return {
        "clip": clip_fingerprint(context),
        "version": hmpfit.__version__,
        "hand": hand_model_fingerprints(context.models),
        "camera": fingerprint(context.camera, focal_length.estimates_focal(context))[:16],
        "prior": fitting.prior_name(prior),
        "files": file_fingerprints(files),
        **settings.comparable(),
    }


def prior_of(settings: RunSettings) -> Prior | None:
    """Open the motion prior of a run; None where it has none or no solver needs it."""
    if "none" in (settings.prior, settings.solver):
        return None
    if settings.prior in registry.names("priors"):
        named: Prior = registry.load("priors", settings.prior)()
        return named
    return open_prior(settings.prior)


def _camera(clip: Clip, settings: RunSettings) -> Camera:
    lens = settings.recipe.camera
    camera = camera_for(
        clip.width, clip.height, settings.intrinsics, lens.focal_per_longer_side, lens.focal_px,
        clip.store.focal_px, clip.store.stored_size,
    )  # fmt: skip
    if len(camera.K) not in (1, clip.frames):
        raise InputError(f"--intrinsics gives {len(camera.K)} cameras, and the clip has {clip.frames} frames.")
    return camera
