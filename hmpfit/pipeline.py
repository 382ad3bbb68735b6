"""The way of `hmpfit run`: video -> detections -> tracks -> first guess -> fit -> files.

The one place where keypoints, initializers, priors and the fit meet. Each step's output is a stage file of the run
folder, fresh when what it depends on has not changed.
"""

import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

import hmpfit
from hmpfit import registry
from hmpfit.errors import InputError, NoHandError
from hmpfit.fingerprints import fingerprint
from hmpfit.fitting.batching.gather import ClipToFit
from hmpfit.fitting.stages import Fitted, fit, fit_batch
from hmpfit.free_memory import release_free_memory
from hmpfit.geometry.intrinsics import camera_for
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.initializers.contradictions import replace_contradicted
from hmpfit.initializers.gaps import fill_gaps
from hmpfit.keypoints import mediapipe
from hmpfit.keypoints.confidence import drop_low_confidence_frames
from hmpfit.priors.opening import Prior, open_prior
from hmpfit.progress import Progress, Silent
from hmpfit.recipes import RunSettings
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import DETECTED, Bools, Camera, FitResult, Floats, HandEstimates, HandMotion, KeypointTracks
from hmpfit.regressors.learned import Learned
from hmpfit.results.npz import write_result
from hmpfit.results.record_files import load_record, save_record
from hmpfit.results.summary import summarize, write_summary
from hmpfit.run_folder import RunFolder
from hmpfit.video.clip import Clip, open_clip
from hmpfit.video.sources import local_file
from hmpfit.viewing.overlay import write_overlay, write_overlay_picture
from hmpfit.viewing.report import write_report

log = logging.getLogger("hmpfit")


def run_video(
    video: Path, out: Path, settings: RunSettings, progress: Progress | None = None, told: str | None = None
) -> dict[str, Any]:
    """Fit the hands of one video or photo into the run folder `out` and return the content of its `result.json`.

    A finished run with the same settings is returned as it is; a run that was cut off goes on where it was. `told` is
    what the result calls its video where that is not the path, such as a web address.
    Raises InputError, NoHandError and RunFolderError.
    """
    return _Run.open(video, out, settings, progress or Silent(), told).finish()


def fit_video(
    video: str | Path, out: str | Path | None = None, progress: Progress | None = None, **choices: Any
) -> FitResult:
    """Fit the hands of a video, photo or folder of images (a path or web address); return what `hmpfit run` writes.

    `choices` are the options of `hmpfit run` as keywords: `init`, `keypoints`, `prior`, `hands`, `recipe`,
    `assignments` (`--set`), `solver`, `views`, `frames=(a, b)`, `hide_keypoints=((a, b),)`, `intrinsics`, `seed`, ...
    With `out` the run folder is written and reused like the command's; without it nothing is left on the disk.
    Positions are camera-frame meters, joints in OpenPose order. Raises InputError, UnknownNameError and NoHandError.
    """
    settings, progress = resolve_settings(**choices), progress or Silent()
    with local_file(video, progress) as path, tempfile.TemporaryDirectory(prefix="hmpfit-") as folder:
        run = _Run.open(path, Path(out or folder), settings, progress, str(video))
        if out is not None:
            run.finish()
        return run.fit()


def prepare_video(video: Path, folder: Path, settings: RunSettings) -> None:
    """Do what comes before the fit: keypoints and first guess as stage files in `folder`; a finished run is left."""
    _Run.open(video, folder, settings, Silent()).prepare()


def fit_videos(work: list[tuple[Path, Path, RunSettings]]) -> None:
    """Fit prepared videos (video, folder, settings), those alike side by side in device batches, as stage files.

    `settings` differ in what is known of a video (intrinsics, hands) only. `run_video` finds the fits and goes on.
    """
    runs = [_Run.open(video, folder, settings, Silent()) for video, folder, settings in work]
    runs = [run for run in runs if run.folder.finished() is None]
    if not runs:
        return
    ready = [run.prepare() for run in runs]
    sequences = [ClipToFit(*parts, run.camera, run.models) for run, parts in zip(runs, ready) if parts is not None]
    first = runs[0]
    fits = fit_batch(sequences, first.prior, first.settings.recipe, first.settings.solver, first.device)
    for run, parts, fitted in zip(runs, ready, fits, strict=True):
        assert parts is not None
        run.store_fit(*parts, fitted)


def fit_in_folder(video: Path, folder: Path, settings: RunSettings) -> FitResult:
    """Fit a video and keep the stage files in `folder`, without overlay, report or `result.npz`; resumes like a run."""
    return _Run.open(video, folder, settings, Silent()).fit()


def keypoints_in_folder(video: Path, folder: Path, settings: RunSettings) -> tuple[KeypointTracks, Floats]:
    """Return what the detector finds without the withheld frames, and its landmarks of those frames [H, T, 21, 2].

    The landmarks are NaN elsewhere; they were found apart and enter nothing. Stage files stay in `folder`.
    """
    run = _Run.open(video, folder, settings, Silent())
    tracks = run.detect()
    hidden_px = run.hidden_px(tracks)
    return tracks, np.full(tracks.xy_px.shape, np.nan) if hidden_px is None else hidden_px


@dataclass
class _Run:
    """What the steps of one run share."""

    clip: Clip
    camera: Camera
    models: HandModels
    prior: Prior | None
    learned: Learned | None  # the network behind --init
    device: str
    settings: RunSettings
    folder: RunFolder
    progress: Progress
    source: str  # fingerprint of the clip
    told: str  # what the result calls the video
    seconds: dict[str, float] = field(default_factory=dict)
    _seen: KeypointTracks | None = None
    _own: KeypointTracks | None = None  # 2D joints of a learned initializer

    @classmethod
    def open(cls, video: Path, out: Path, settings: RunSettings, progress: Progress, told: str | None = None) -> "_Run":
        began = time.perf_counter()
        models = load_hand_models(settings.hand_model)
        clip = open_clip(video, settings.frames, _counted(progress, "reading the video"), settings.fps)
        lens = settings.recipe["camera"]
        camera = camera_for(
            clip.width, clip.height, settings.intrinsics, lens["focal_per_longer_side"], lens.get("focal_px", 0.0),
            clip.store.focal_px, clip.store.stored_size,
        )  # fmt: skip
        if len(camera.K) not in (1, clip.frames):
            raise InputError(f"--intrinsics gives {len(camera.K)} cameras, and the clip has {clip.frames} frames.")
        source = clip.fingerprint()[:16]
        prior, device = _prior(settings), device_for(settings.device)
        learned = (
            Learned.load(settings.init, settings.checkpoint) if settings.init in registry.names("networks") else None
        )
        identity = {
            "clip": source,
            "version": hmpfit.__version__,
            "hand": _hand_prints(models),
            "camera": fingerprint(camera)[:16],
            "prior_weights": None if prior is None else prior.fingerprint,
            "network_weights": None if learned is None else learned.fingerprint,
            **settings.comparable(),
        }
        folder = RunFolder(out, identity, settings.overwrite)
        seconds = {"decode": time.perf_counter() - began}
        told = str(video) if told is None else told
        return cls(clip, camera, models, prior, learned, device, settings, folder, progress, source, told, seconds)

    def finish(self) -> dict[str, Any]:
        done = self.folder.finished()
        if done is not None:
            log.info("'%s' is finished with these settings; nothing to do.", self.folder.path)
            return done
        began = time.perf_counter() - self.seconds["decode"]
        result = self.fit()
        seen, hidden_px = self._seen, self.hidden_px(self._seen) if self._seen is not None else None
        if hidden_px is not None:
            hidden_px = _same_hands(hidden_px, seen, result)
        with self.folder.publish() as scratch:
            write_result(scratch / "result.npz", result)
            with self._timed("render"):
                if self.clip.still:
                    write_overlay_picture(scratch / "overlay.jpg", self.clip, result, self.models)
                else:
                    report = _counted(self.progress, "drawing the overlay")
                    write_overlay(scratch / "overlay.mp4", self.clip, result, self.models, on_frame=report)
            self.seconds["total"] = time.perf_counter() - began
            summary = summarize(result, self.clip.fps, self.seconds, hidden_px)
            write_summary(scratch / "result.json", summary)
            write_report(scratch)
        return summary

    def detect(self) -> KeypointTracks:
        """Return the detector's tracks, without the withheld frames."""
        return self._tracks(self._hidden())

    def prepare(self) -> tuple[HandMotion, KeypointTracks] | None:
        """Do the steps before the fit and return its start and evidence; None for a finished run."""
        if self.folder.finished() is not None:
            return None
        self._seen = self._tracks(self._hidden()) if self._needs_detector else None
        return self._first_guess(self._seen)

    def store_fit(self, initial: HandMotion, evidence: KeypointTracks, fitted: Fitted) -> None:
        """Keep a fit that was made in a batch, as if this run had made it."""
        self._stage("fit", Fitted, self._fit_depends(initial, evidence), lambda: fitted)

    def fit(self) -> FitResult:
        """Return the fitted motion; every step that the folder holds already is read instead of done again."""
        with self._timed("keypoints"):
            self._seen = self.detect() if self._needs_detector else None
        with self._timed("init"):
            initial, evidence = self._first_guess(self._seen)
        with self._timed("fit"):
            return self._fit(initial, evidence)

    @property
    def _needs_detector(self) -> bool:
        given = self._given
        lacks_landmarks = given is not None and given.world_m is None and self.settings.init == "keypoints"
        return given is None or lacks_landmarks

    @property
    def _keypoint_file(self) -> Path | None:
        name, _, path = self.settings.keypoints.partition(":")
        return Path(path) if name == "file" else None

    @cached_property
    def _given(self) -> KeypointTracks | None:
        """The keypoints of `--keypoints file:PATH`, without the withheld frames."""
        if self._keypoint_file is None:
            return None
        found = registry.load("keypoints", "file")(self._keypoint_file, self.clip, self.camera)
        return found.only_where(~self._hidden())

    def _hidden(self) -> Bools:
        """Return which frames of the clip are withheld, [T]. Raises InputError for a stretch outside the clip."""
        hidden = np.zeros(self.clip.frames, dtype=bool)
        first, last = self.clip.first_frame, self.clip.first_frame + self.clip.frames
        for a, b in self.settings.hide_keypoints:
            if not first <= a < b <= last:
                raise InputError(f"--hide-keypoints {a}:{b} lies outside the fitted frames {first}:{last}.")
            hidden[a - first : b - first] = True
        if hidden.all():
            raise InputError("--hide-keypoints withholds every frame; leave some to fit.")
        return hidden

    def _tracks(self, hidden: Bools) -> KeypointTracks:
        settings, recipe = self.settings, self.settings.recipe["keypoints"]
        found = self._stage(
            "tracks",
            KeypointTracks,
            (self.source, hidden, self._lens, *self._wanted_hands, recipe, settings.seed, settings.hand_landmarker),
            lambda: mediapipe.extract(
                self.clip,
                self.camera,
                mediapipe.MediaPipeOptions(
                    hands=settings.hands,
                    max_hands=settings.max_hands,
                    views=settings.views,
                    gamma=recipe["gamma"],
                    seed=settings.seed,
                    landmarker=settings.hand_landmarker,
                    workers=settings.workers,
                    views_every_s=recipe["views_every_s"],
                ),
                frames_hidden=hidden,
                progress=self.progress,
            ),
        )
        return drop_low_confidence_frames(found, recipe["least_frame_confidence"])

    def hidden_px(self, seen: KeypointTracks) -> Floats | None:
        """Return landmarks of the withheld frames, found without the fit's knowledge and never shown to it."""
        hidden = self._hidden()
        if not hidden.any():
            return None
        settings = self.settings
        scored = self._stage(
            "hidden",
            KeypointTracks,
            (self.source, hidden, seen.xy_px, seen.is_right, *self._wanted_hands, settings.hand_landmarker),
            lambda: mediapipe.score_hidden(
                self.clip,
                self.camera,
                seen,
                mediapipe.MediaPipeOptions(
                    hands=settings.hands,
                    max_hands=settings.max_hands,
                    views=0,
                    landmarker=settings.hand_landmarker,
                    workers=settings.workers,
                ),
                frames_hidden=hidden,
                progress=self.progress,
            ),
        )
        return scored.xy_px

    @property
    def _wanted_hands(self) -> tuple[str, int | None]:
        return self.settings.hands, self.settings.max_hands

    def _first_guess(self, seen: KeypointTracks | None) -> tuple[HandMotion, KeypointTracks]:
        """Return the filled initial motion and the evidence of the fit, hands most detected first."""
        settings = self.settings
        name, _, path = settings.init.partition(":")
        initialize = registry.load("initializers", name)
        given = self._given
        basis = seen if seen is not None else given  # a detector is asked only when the file cannot start the fit
        if name == "file":
            motion = self._from_file(initialize, Path(path), basis)
        elif self.learned is not None:
            assert basis is not None
            motion = self._learned(self.learned, initialize, basis)
        else:
            assert basis is not None
            motion = self._stage(
                "initial",
                HandMotion,
                (name, basis.xy_px, basis.confidence, basis.is_right, basis.world_m, self._lens, self._hand),
                lambda: _filled(initialize(basis, self.camera, self.models), basis.times_s),
            )
        motion = _hide(motion, self._hidden(), self.clip.times_s)
        evidence = self._matched(given, motion) if given is not None else self._blended(seen, motion)
        order = np.argsort(-(motion.status == DETECTED).sum(1), kind="stable")
        return _rows(motion, order), _rows(evidence, order)

    def _from_file(self, initialize: Callable[..., HandMotion], path: Path, basis: KeypointTracks | None) -> HandMotion:
        clip = self.clip
        motion = initialize(path, clip.times_s, self.camera, self.models, basis, clip.first_frame)
        sides = {"left": [False], "right": [True]}.get(self.settings.hands, [True, False])
        kept = np.flatnonzero(np.isin(motion.is_right, sides))[: self.settings.max_hands]
        if not len(kept):
            raise NoHandError(f"'{path}' holds no {self.settings.hands} hand; choose another with --hands.")
        return _rows(motion, kept)

    def _learned(self, learned: Learned, initialize: Callable[..., Any], basis: KeypointTracks) -> HandMotion:
        hidden = self._hidden()

        def compute() -> HandEstimates:
            advance = self.progress.phase(learned.name, self.clip.frames)
            return learned.estimate(self.clip, basis, self.camera, hidden, self.models, self.device, advance)

        depends = (
            learned.name, learned.fingerprint, self.source, basis.xy_px, basis.seen, hidden, self._lens, self._hand
        )  # fmt: skip
        estimates = self._stage("estimates", HandEstimates, depends, compute)
        motion, own = initialize(estimates, basis, self.camera, self.models)
        motion = replace_contradicted(motion, basis, self.camera, self.models, learned.name)
        placed = np.flatnonzero((motion.status == DETECTED).any(1))
        if not len(placed):
            raise NoHandError(f"--init {learned.name} could place no hand in the camera; use --init keypoints.")
        if len(placed) < len(motion.is_right):
            log.warning("--init %s could not place every hand; that hand is left out.", learned.name)
        motion, self._own = _rows(motion, placed), _rows(own, placed)
        return fill_gaps(motion, motion.status == DETECTED, self.clip.times_s)

    def _blended(self, seen: KeypointTracks | None, motion: HandMotion) -> KeypointTracks:
        source = self.settings.keypoints
        if source == "mediapipe" and seen is not None:
            return self._matched(seen, motion)
        if source == "mmpose" and seen is not None:
            return self._matched(self._mmpose(seen), motion)
        projected = self._own
        if projected is None:
            projected = registry.load("keypoints", "initializer")(motion, self.models, self.camera, self.clip.times_s)
        if source == "initializer" or seen is None:
            return projected
        return registry.load("keypoints", "blend")(self._matched(seen, motion), projected)

    def _matched(self, tracks: KeypointTracks, motion: HandMotion) -> KeypointTracks:
        """Pick for each hand of the motion its own track; a hand that was not tracked has no evidence."""
        found = registry.load("keypoints", "initializer")(motion, self.models, self.camera, self.clip.times_s)
        rows = match_hands(tracks.xy_px, tracks.is_right, found.xy_px, motion.is_right)
        picked = _rows(tracks, np.maximum(rows, 0))
        picked = replace(picked, is_right=motion.is_right, hand_id=motion.hand_id, person_id=motion.person_id)
        return picked.only_where((rows >= 0)[:, None])

    def _mmpose(self, seen: KeypointTracks) -> KeypointTracks:
        from hmpfit.keypoints.mmpose import load_estimator

        settings, hidden = self.settings, self._hidden()
        models = (settings.mmpose_config, settings.mmpose_checkpoint, settings.mmpose_onnx)

        def compute() -> KeypointTracks:
            estimate = load_estimator(*models, device=self.device)
            advance = self.progress.phase("mmpose", self.clip.frames)
            extract = registry.load("keypoints", "mmpose")
            found: KeypointTracks = extract(self.clip, seen, estimate, hidden, lambda _: advance(1))
            return found

        return self._stage("mmpose", KeypointTracks, (seen.xy_px, seen.seen, hidden, models), compute)

    def _fit(self, initial: HandMotion, evidence: KeypointTracks) -> FitResult:
        settings, recipe = self.settings, self.settings.recipe
        prior, prior_name = self.prior, self._prior_name
        steps = [sum(int(stage["steps"]) for stage in recipe["stages"])]
        advance: list[Callable[[int], None]] = []

        def on_step(done: int, total: int) -> None:
            if not advance:
                advance.append(self.progress.phase("fitting", steps[0]))
            advance[0](1)

        fitted = self._stage(
            "fit",
            Fitted,
            self._fit_depends(initial, evidence),
            lambda: fit(
                initial,
                evidence,
                self.camera,
                self.models,
                prior,
                recipe,
                settings.solver,
                self.device,
                on_step,
            ),
        )
        return FitResult(
            motion=fitted.motion,
            joints=pose_hands(self.models, fitted.motion).joints,
            joint_std_mm=fitted.joint_std_mm,
            landmarks_px=fitted.landmarks_px,
            camera=self.camera,
            tracks=evidence,
            reports=fitted.reports,
            windows=fitted.windows,
            recipe=recipe,
            provenance={
                "video": self.told,
                "still": self.clip.still,
                "first_frame": self.clip.first_frame,
                "hand_model": self.models.right.name,
                "prior": prior_name,
                "initializer": settings.init,
                "keypoints": settings.keypoints,
                "solver": settings.solver,
                "seed": settings.seed,
                "version": hmpfit.__version__,
                "fingerprints": {"clip": self.source, "hand_model": self._hand},
            },
        )

    @property
    def _lens(self) -> tuple[Floats, Floats | None]:
        return self.camera.K, self.camera.distortion

    @property
    def _prior_name(self) -> str:
        return "none" if self.prior is None else f"{self.prior.name} {self.prior.fingerprint}".strip()

    def _fit_depends(self, initial: HandMotion, evidence: KeypointTracks) -> tuple[Any, ...]:
        """Return all that decides the fit."""
        settings = self.settings
        return initial, evidence, self.camera, self._hand, self._prior_name, settings.recipe, settings.solver

    @property
    def _hand(self) -> list[str]:
        return _hand_prints(self.models)

    def _stage(self, name: str, kind: type[Any], depends: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
        key = fingerprint(name, hmpfit.__version__, *depends)
        return self.folder.stage(name, key, compute, save_record, partial(load_record, kind=kind))

    @contextmanager
    def _timed(self, name: str) -> Any:
        began = time.perf_counter()
        yield
        release_free_memory()
        self.seconds[name] = time.perf_counter() - began


def _hand_prints(models: HandModels) -> list[str]:
    return [models.right.fingerprint, models.left.fingerprint]


def _prior(settings: RunSettings) -> Prior | None:
    if settings.prior == "none" or settings.solver == "none":
        return None
    if settings.prior in registry.names("priors"):
        shipped: Prior = registry.load("priors", settings.prior)()
        return shipped
    return open_prior(settings.prior)


def device_for(name: str) -> str:
    """Return the torch device that "auto", "cpu" or "cuda" means here. Raises InputError where there is no GPU."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda needs a GPU that torch can use, and there is none; leave --device out.")
    return "cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu")


def _counted(progress: Progress, name: str) -> Callable[[int, int], None]:
    """Turn a progress phase into a callback of (done, total); the phase begins with the first call."""
    state: dict[str, Any] = {"done": 0}

    def report(done: int, total: int) -> None:
        if "advance" not in state:
            state["advance"] = progress.phase(name, total)
        state["advance"](done - state["done"])
        state["done"] = done

    return report


def _rows(record: Any, order: np.ndarray) -> Any:
    """Reorder or pick the hands of a motion or of tracks."""
    hands = len(record.is_right)
    changes = {}
    for name, value in vars(record).items():
        if isinstance(value, np.ndarray) and name != "times_s" and len(value) == hands:
            changes[name] = value[order]
    return replace(record, **changes)


def _same_hands(hidden_px: Floats, seen: KeypointTracks | None, result: FitResult) -> Floats:
    """Return landmarks of the withheld frames by the result's hands, which may be others than the detector's."""
    assert seen is not None
    rows = match_hands(seen.xy_px, seen.is_right, result.tracks.xy_px, result.motion.is_right)
    return pick_hands(hidden_px, rows)


def _hide(motion: HandMotion, hidden: Bools, times_s: Floats) -> HandMotion:
    """Withhold frames from a motion that came from a file: fill them as if the initializer had not seen them."""
    seen = (motion.status == DETECTED) & ~hidden
    if (seen == (motion.status == DETECTED)).all() or not seen.any(1).all():
        return motion
    return fill_gaps(motion, seen, times_s)


def _filled(motion: HandMotion, times_s: Floats) -> HandMotion:
    """Fill the frames that the initializer left open, whether the hand was not seen or too little of it was known."""
    return fill_gaps(motion, motion.status == DETECTED, times_s)
