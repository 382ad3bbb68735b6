"""Speed of the solvers: the same start and evidence, solved by each of them and by the published method's loop.

Separate from the solvers, which know nothing of one another, and from the command, which only prints.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from hmpfit.bench.published_loop import LoopRun, data_term, run_published_loop
from hmpfit.errors import InputError
from hmpfit.fitting.batching.gather import evidence_tensors
from hmpfit.fitting.stages import Fitted, fit
from hmpfit.fitting.windows import lay_windows
from hmpfit.hands import as_right_hands as mirroring
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.initializers.from_keypoints import initialize
from hmpfit.initializers.gaps import fill_gaps
from hmpfit.interfaces.prior import MotionPriorLike
from hmpfit.progress import Progress
from hmpfit.recipes.schema import Recipe
from hmpfit.records import Camera, HandMotion, KeypointTracks
from hmpfit.synthesis.made_keypoints import make_keypoints

SOLVERS = ("gauss_newton", "adam", "lbfgs")
ADAM_RATES = (1.0, 0.1, 0.04)  # of the recipe's learning rate, which is the paper's and far too high for this objective
FPS = 30.0


@dataclass(frozen=True)
class Start:
    """Where every solver starts: one hand's filled first guess and its evidence; `truth` where it is known."""

    initial: HandMotion
    tracks: KeypointTracks
    camera: Camera
    models: HandModels
    truth: HandMotion | None = None


@dataclass(frozen=True)
class Solve:
    """One solver's way: per stage the seconds since the call began and the cost after each step."""

    solver: str
    seconds: float
    data_2d: float
    joint_error_mm: float | None
    stages: tuple[dict[str, Any], ...]

    @property
    def end(self) -> float:
        """The last cost of the last stage."""
        return float(self.stages[-1]["costs"][-1])

    def seconds_to(self, cost: float) -> float | None:
        """Return when the last stage's cost was first as low as this, None if never."""
        last = self.stages[-1]
        return next((s for s, c in zip(last["seconds"], last["costs"]) if c <= cost), None)


def frames_of_windows(windows: int, prior: MotionPriorLike, overlap_frames: int) -> int:
    """Return how many frames at 30 a second are covered by this many overlapping windows."""
    return prior.window_frames + (windows - 1) * (prior.window_frames - overlap_frames)


def made_start(models: HandModels, frames: int, seed: int) -> Start:
    """Make a start without a video: generated motion, noisy and partly hidden keypoints, inverse kinematics."""
    made = make_keypoints(models, frames, FPS, seed)
    guess = initialize(made.tracks, made.camera, models)
    initial = fill_gaps(guess, made.tracks.seen, made.tracks.times_s)
    return Start(initial, made.tracks, made.camera, models, made.truth)


def cut_start(start: Start, frames: int) -> Start:
    """Keep the first hand and the first `frames` frames. Raises InputError when the start is shorter."""
    have = start.initial.status.shape[1]
    if have < frames:
        raise InputError(f"These windows need {frames} frames, and the run has {have}; ask for fewer --windows.")
    motion, tracks = start.initial, start.tracks
    return replace(
        start,
        initial=HandMotion(
            motion.global_orient[:1, :frames], motion.hand_pose[:1, :frames], motion.transl[:1, :frames],
            motion.betas[:1], motion.is_right[:1], motion.status[:1, :frames],
        ),
        tracks=KeypointTracks(
            tracks.xy_px[:1, :frames], tracks.confidence[:1, :frames], tracks.seen[:1, :frames], tracks.is_right[:1],
            tracks.times_s[:frames], None if tracks.world_m is None else tracks.world_m[:1, :frames],
        ),
        camera=start.camera if len(start.camera.K) == 1 else replace(start.camera, K=start.camera.K[:frames]),
    )  # fmt: skip


def compare_solvers(
    start: Start, prior: MotionPriorLike, recipe: Recipe, progress: Progress, steps: int = 400
) -> dict[str, Any]:
    """Solve one start by every solver and by the published loop, all in this process, one after the other.

    Adam runs at the recipe's learning rate and at lower ones (`adam`, `adam_0.005`, ...). `ratio_same_objective`: of
    the Adam run that ends lowest, the seconds after which it first was as low as it ends, over those after which
    Gauss-Newton is; 0 if it never is. `ratio_vs_reference`: seconds of the published loop over those of the whole fit
    as shipped (encoding and uncertainty included). Everything is timed from the call to its end.
    """
    recipe = replace(recipe, stages=[replace(stage, adam_steps=steps) for stage in recipe.stages])
    warm_up = cut_start(start, min(20, start.initial.status.shape[1]))
    fit(warm_up.initial, warm_up.tracks, warm_up.camera, start.models, prior, recipe)
    solves = {}
    for name, solver, how in _ways(recipe):
        solves[name] = _solve(start, prior, how, solver, name, steps, progress)
    reference, evidence, windows = _reference(start, prior, recipe, steps, progress)
    ours = solves["gauss_newton"]
    lowest = min((name for name in solves if name.startswith("adam")), key=lambda name: solves[name].end)
    target = solves[lowest].end
    reached, adams = ours.seconds_to(target), solves[lowest].seconds_to(target)
    frames = np.concatenate([np.arange(a, b) for a, b in windows])
    pixels = np.concatenate([reference.landmarks_px[w, : b - a] for w, (a, b) in enumerate(windows)])
    data = data_term(pixels, evidence, frames)
    return {
        "frames": start.initial.status.shape[1],
        "windows": [list(window) for window in windows],
        "ratio_same_objective": 0.0 if reached is None or adams is None else adams / reached,
        "ratio_vs_reference": reference.seconds / ours.seconds,
        "data_2d_no_higher": ours.data_2d <= data,
        "same_cost": {
            "cost": target,
            "of": lowest,
            **{name: solve.seconds_to(target) for name, solve in solves.items()},
        },
        "solvers": {name: vars(solve) for name, solve in solves.items()},
        "reference": {
            "seconds": reference.seconds,
            "steps": len(reference.history),
            "data_2d": data,
            "curve": [list(point) for point in reference.history],
        },
    }


def _ways(recipe: Recipe) -> Iterator[tuple[str, str, Recipe]]:
    """Yield (name, solver, recipe) of all that is compared."""
    own = recipe.stages[-1].learning_rate
    for solver in SOLVERS:
        for share in ADAM_RATES if solver == "adam" else (1.0,):
            stages = [replace(stage, learning_rate=share * stage.learning_rate) for stage in recipe.stages]
            yield solver if share == 1 else f"{solver}_{share * own:g}", solver, replace(recipe, stages=stages)


def _solve(
    start: Start, prior: MotionPriorLike, recipe: Recipe, solver: str, name: str, steps: int, progress: Progress
) -> Solve:
    most = [stage.steps if solver == "gauss_newton" else steps for stage in recipe.stages]
    advance = progress.phase(name, sum(most))
    moments: list[float] = []

    def on_step(done: int, total: int) -> None:
        moments.append(time.perf_counter() - began)
        advance(1)

    began = time.perf_counter()
    fitted = fit(start.initial, start.tracks, start.camera, start.models, prior, recipe, solver, on_step=on_step)
    seconds = time.perf_counter() - began
    evidence = _evidence(start)
    frames = np.arange(start.initial.status.shape[1])
    stages, used = [], 0
    for report in fitted.reports:
        costs = report.history[2:] if solver == "adam" else report.history[1:]  # Adam sees a step's cost at the next
        taken = min(len(costs), len(moments) - used)
        stages.append(
            {
                "name": report.stage,
                "outcome": report.outcome,
                "steps": report.steps,
                "cost_start": report.cost_start,
                "cost_end": report.cost_end,
                "seconds": moments[used : used + taken],
                "costs": list(costs[:taken]),
            }
        )
        used += report.steps if solver == "adam" else len(costs)
    return Solve(
        solver, seconds, _data(start, fitted, evidence, frames), _error_mm(start, fitted.motion), tuple(stages)
    )


def _data(start: Start, fitted: Fitted, evidence: Any, frames: np.ndarray) -> float:
    right = mirroring.pixels_as_sides(fitted.landmarks_px, start.initial.is_right, start.camera.width)
    return data_term(right[0], evidence, frames)


def _evidence(start: Start) -> Any:
    right = mirroring.motion_as_right(start.initial)
    return evidence_tensors(right, start.tracks, start.camera, start.initial.is_right, torch.float64, "cpu")


def _error_mm(start: Start, motion: HandMotion) -> float | None:
    """Return the mean distance of the wrist-relative joints to the truth in mm."""
    if start.truth is None:
        return None
    joints = [pose_hands(start.models, motion).joints for motion in (motion, start.truth)]
    found, true = (points - points[..., :1, :] for points in joints)
    return float(1000 * np.linalg.norm(found - true, axis=-1).mean())


def _reference(
    start: Start, prior: MotionPriorLike, recipe: Recipe, steps: int, progress: Progress
) -> tuple[LoopRun, Any, tuple[tuple[int, int], ...]]:
    evidence = _evidence(start)
    overlap = recipe.windows.overlap_frames / prior.fps
    windows = lay_windows(evidence.times_s, prior.window_frames / prior.fps, overlap).windows
    advance = progress.phase("published loop", 2 * steps)
    one: Callable[[int, int], None] = lambda done, total: advance(1)  # noqa: E731
    fps = 1 / float(np.median(np.diff(start.tracks.times_s)))
    model = start.models.side(bool(start.initial.is_right[0]))
    return run_published_loop(model, evidence, windows, fps, steps, one), evidence, windows
