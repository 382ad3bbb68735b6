"""The fit of one clip or of several: records in, stages of the recipe one after the other, records out.

The only place of `fitting` that speaks records; everything below it works on tensors of right hands.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hmpfit.errors import InputError
from hmpfit.fitting.batching.gather import BatchItem, ClipToFit, batches, gather_hands, merge_evidence
from hmpfit.fitting.batching.parallel import OnStep, run_parallel
from hmpfit.fitting.coarse_first import solve_coarse_first
from hmpfit.fitting.pose_field import WINDOWS_ENCODED_AT_ONCE, PoseField
from hmpfit.fitting.problem import Problem, read_terms
from hmpfit.fitting.solvers.history import Solved, sum_reports
from hmpfit.fitting.solvers.two_parts import solve_in_two_parts
from hmpfit.fitting.two_hands.hand_pairs import HandPairs
from hmpfit.fitting.two_hands.solve import without_penetration
from hmpfit.fitting.uncertainty import joint_std_mm
from hmpfit.fitting.unseen_frames import bridge_unseen
from hmpfit.fitting.windows import WindowLayout, lay_windows, resample_poses
from hmpfit.free_memory import reuse_freed_memory
from hmpfit.geometry import rotations
from hmpfit.geometry.cameras import project
from hmpfit.hands import as_right_hands as mirroring
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.prior import MotionPriorLike
from hmpfit.interfaces.term import Evidence, Motion
from hmpfit.recipes.schema import Recipe, Stage
from hmpfit.records import Camera, CameraMotion, Floats, HandMotion, KeypointTracks, SolveReport
from hmpfit.registry import load

BATCHED = ("gauss_newton", "adam", "none")
MOST_FRAMES = {"cpu": 512, "cuda": 65536}  # of a batch; larger ones leave a CPU's cache
PRECISIONS = {
    "mixed": (torch.float64, torch.float32),
    "float64": (torch.float64, torch.float64),
    "float32": (torch.float32, torch.float32),
}


@dataclass(frozen=True)
class Fitted:
    """What the fit found, hands as they are (left hands are left again)."""

    motion: HandMotion
    linear_std_mm: Floats  # [H, T, 21] by the normal matrix; `deviation` calibrates it
    landmarks_px: Floats  # [H, T, 21, 2]
    reports: tuple[SolveReport, ...]
    windows: tuple[tuple[int, int], ...]


def fit(
    initial: HandMotion,
    tracks: KeypointTracks,
    camera: Camera,
    models: HandModels,
    prior: MotionPriorLike | None,
    recipe: Recipe,
    solver: str = "gauss_newton",
    device: str = "cpu",
    on_step: OnStep | None = None,
    camera_motion: CameraMotion | None = None,
) -> Fitted:
    """Fit every hand of a clip, starting from a filled initial motion.

    `initial` has all frames, with `status` telling which were detected; `tracks` are the evidence; camera-frame
    meters and pixels throughout. `camera_motion` makes the motion smooth in the world instead. `prior` None frees the
    poses themselves in stages that free the latent. `solver` is a name of the registry, or "none" to return the initial
    motion with its projections.
    """
    sequence = ClipToFit(initial, tracks, camera, models, camera_motion)
    return fit_batch([sequence], prior, recipe, solver, device, on_step)[0]


@torch.no_grad()
def fit_batch(
    sequences: list[ClipToFit],
    prior: MotionPriorLike | None,
    recipe: Recipe,
    solver: str = "gauss_newton",
    device: str = "cpu",
    on_step: OnStep | None = None,
    most_frames: int | None = None,
) -> list[Fitted]:
    """Fit several clips, those alike in length and frame rate side by side on the device; as `fit` does each.

    `most_frames` bounds a batch's frames (hands x frames, padding included) and so its memory; the default suits the
    device. Several batches of a CPU run side by side, one on each of torch's threads. L-BFGS, whose line search would
    mix the clips, takes them one by one.
    """
    reuse_freed_memory()
    dtypes = _precision(recipe)
    if prior is not None:
        prior = prior.truncated(_prior_option(recipe, "latent_dim") or 0)
    items = []
    for number, one in enumerate(sequences):
        evidence, start = gather_hands(one, dtypes[0], device)
        layout = _layout(evidence, prior, recipe)
        items.append(BatchItem(number, one.initial, start, one.camera, one.models, evidence, layout))
    cores = torch.get_num_threads() if torch.device(device).type == "cpu" else 1
    ready = batches(items, _most_frames(items, solver, device, cores, most_frames))
    priors = None
    if prior is not None:
        high = _in_dtype(prior, dtypes[0], device)
        priors = high, high if dtypes[1] == dtypes[0] else _in_dtype(prior, dtypes[1], device)

    def work(batch: list[BatchItem], on_step: OnStep | None) -> list[Fitted]:
        return _fit_batch(batch, priors, recipe, solver, device, on_step)

    found: dict[int, Fitted] = {}
    for batch, fits in zip(ready, run_parallel(work, ready, cores, on_step)):
        found.update((item.sequence, fitted) for item, fitted in zip(batch, fits))
    return [found[number] for number in range(len(sequences))]


def _most_frames(items: list[BatchItem], solver: str, device: str, cores: int, requested: int | None) -> int:
    """Return the most frames of a batch: what was requested, or what suits the device and keeps all its cores busy."""
    if solver not in BATCHED:
        return 0
    if requested is not None:
        return requested
    most = MOST_FRAMES[torch.device(device).type]
    total, longest = sum(item.hands * item.frames for item in items), max(item.hands * item.frames for item in items)
    parts = cores * -(-total // (cores * most))
    return min(-(-total // (parts * longest)) * longest, most)


@torch.no_grad()
def _fit_batch(
    items: list[BatchItem], priors: tuple[MotionPriorLike, MotionPriorLike] | None, recipe: Recipe, solver: str,
    device: str, on_step: OnStep | None,
) -> list[Fitted]:  # fmt: skip
    """Fit one batch; `priors` are the prior in the dtype of unknowns and in that of derivatives."""
    dtype, low_dtype = _precision(recipe)
    evidence, layout = merge_evidence(items), items[0].layout
    kinematics = items[0].kinematics(dtype, device)
    motion = _initial_motion(evidence)
    field, low_field = None, None
    if priors is not None:
        evidence, motion = _encode(priors[0], layout, evidence, motion, _prior_option(recipe, "observed_std"))
        field = low_field = PoseField.build(priors[0], layout, evidence.times_s, dtype)
        if low_dtype != dtype:
            low_field = PoseField.build(priors[1], layout, evidence.times_s, low_dtype)
    pairs = HandPairs.of(items[0].sides, items[0].models, evidence) if len(items) == 1 else None
    reports: list[tuple[SolveReport, ...]] = []
    problem = Problem(kinematics, evidence, (), ())
    for stage in recipe.stages if solver != "none" else ():
        problem, motion = _prepare(stage, kinematics, evidence, motion, field)
        problem = replace(problem, low_dtype=low_dtype, low_field=low_field)
        solve: Callable[..., Solved] = load("solvers", solver)
        if solver == "gauss_newton":
            solve = partial(solve_in_two_parts, solve)
        with torch.enable_grad() if solver != "gauss_newton" else torch.no_grad():
            solved = solve_coarse_first(solve, problem, motion, stage, on_step, pairs)
        motion = solved.motion
        reports.append(solved.reports)
    if reports and recipe.unseen_frames.bridge:
        motion = bridge_unseen(motion, evidence, recipe.unseen_frames)
    points = problem.points(motion)
    xy = project(points, evidence.K[:, :, None], evidence.distortion).cpu().numpy()
    correlated = recipe.uncertainty.correlated_frames
    std = (
        joint_std_mm(without_penetration(problem), motion, correlated)
        if reports
        else np.full(points.shape[:-1], np.nan)
    )
    arrays = {
        "global_orient": rotations.log(motion.global_R).cpu().numpy(),
        "hand_pose": rotations.log(motion.hand_R).cpu().numpy(),
        "transl": motion.transl.cpu().numpy(),
    }
    betas = motion.betas.cpu().numpy()
    out, first = [], 0
    for item in items:
        rows, first = slice(first, first + item.hands), first + item.hands
        cut = {name: values[rows, : item.frames] for name, values in arrays.items()}
        right = replace(item.start, betas=betas[rows], **cut)
        out.append(
            Fitted(
                mirroring.motion_as_sides(right, item.is_right),
                std[rows, : item.frames],
                mirroring.pixels_as_sides(xy[rows, : item.frames], item.is_right, item.camera.width),
                tuple(sum_reports(stage[rows]) for stage in reports),
                item.layout.windows,
            )
        )
    return out


def _precision(recipe: Recipe) -> tuple[torch.dtype, torch.dtype]:
    """Return the dtypes of unknowns and costs, and of derivatives and matrices."""
    return PRECISIONS[recipe.numerics.precision]


def _in_dtype(prior: MotionPriorLike, dtype: torch.dtype, device: str) -> MotionPriorLike:
    """Return a copy of a prior whose weights are of a dtype; one that has none stays as it is."""
    return copy.deepcopy(prior).to(device, dtype) if isinstance(prior, torch.nn.Module) else prior


def _initial_motion(evidence: Evidence) -> Motion:
    return Motion(evidence.initial_R, evidence.initial_transl, evidence.initial_betas, evidence.initial_hand_R)


def _layout(evidence: Evidence, prior: MotionPriorLike | None, recipe: Recipe) -> WindowLayout:
    frames, fps = (prior.window_frames, prior.fps) if prior is not None else (128, 30.0)
    overlap = recipe.windows.overlap_frames
    if not 0 <= overlap <= frames // 2:
        raise InputError(f"windows.overlap_frames is {overlap}; it must lie between 0 and {frames // 2}.")
    return lay_windows(evidence.times_s.cpu(), frames / fps, overlap / fps)


def _prior_option(recipe: Recipe, name: str) -> Any:
    """Return an option of the prior term that holds for the whole fit: the first that a stage gives, or None."""
    given = (getattr(stage.options.get("prior"), name, None) for stage in recipe.stages)
    return next((value for value in given if value is not None), None)


def _encode(
    prior: MotionPriorLike, layout: WindowLayout, evidence: Evidence, motion: Motion, observed_std: float | None
) -> tuple[Evidence, Motion]:
    """Encode the initial poses window by window: the posterior of L_MP, and the latents that stage II starts from."""
    dtype, times = motion.transl.dtype, evidence.times_s
    known = evidence.initial_confidence > 0
    windows = []
    for start_s in layout.start_s:
        grid = start_s + torch.arange(prior.window_frames, dtype=dtype) / prior.fps
        windows.append(resample_poses(motion.hand_R, known, times, grid.to(times)))
    found: list[list[Tensor]] = [[], [], []]
    for first in range(0, len(windows), WINDOWS_ENCODED_AT_ONCE):
        some = windows[first : first + WINDOWS_ENCODED_AT_ONCE]
        poses, mask = (torch.stack(parts, 1).flatten(0, 1) for parts in zip(*some))
        posterior, start = prior.encode(poses, mask, observed_std), prior.start(poses, mask, observed_std)
        for kept, part in zip(found, (*posterior, start)):
            kept.append(part.unflatten(0, (-1, len(some))).to(dtype))
    mean, log_var, latent = (torch.cat(parts, dim=1) for parts in found)
    std = (0.5 * log_var).exp()
    overlap = layout.overlap.to(times).expand(len(mean), -1)
    if evidence.exists is not None:
        overlap = overlap * evidence.exists
    evidence = replace(evidence, latent_mean=mean, latent_std=std, overlap=overlap)
    return evidence, replace(motion, latent=latent)


def _prepare(
    stage: Stage,
    kinematics: Kinematics,
    evidence: Evidence,
    motion: Motion,
    field: PoseField | None,
) -> tuple[Problem, Motion]:
    """Set a stage up: what is free, which terms hold, and which finger poses it starts from."""
    free: tuple[str, ...] = tuple(stage.free)
    if field is None and "latent" in free:
        free = tuple("hand_pose" if name == "latent" else name for name in free)
        instead = stage.without_prior
        stage = replace(
            stage, weights={**stage.weights, **instead.weights}, kernels={**stage.kernels, **instead.kernels}
        )
    if stage.pose == "prior" and field is not None and motion.latent is not None:
        motion = replace(motion, hand_R=field.blend(field.decode(motion.latent)))
    terms = read_terms(stage, free)
    return Problem(kinematics, evidence, terms, free, field, stage.reduction), motion
