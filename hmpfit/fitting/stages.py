"""The fit of one clip: records in, stages of the recipe one after the other, records out.

The only place of `fitting` that speaks records; everything below it works on tensors of right hands.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hmpfit.errors import InputError, UnknownNameError
from hmpfit.fitting import mirroring
from hmpfit.fitting.contacts import Pairs
from hmpfit.fitting.pose_field import MotionPriorLike, PoseField
from hmpfit.fitting.problem import FREE, Problem, read_terms
from hmpfit.fitting.solvers.outcome import Solved
from hmpfit.fitting.term import Evidence, Motion
from hmpfit.fitting.together import alone, solve_together
from hmpfit.fitting.uncertainty import joint_std_mm
from hmpfit.fitting.windows import WindowLayout, lay_windows, resample_poses
from hmpfit.geometry import rotations
from hmpfit.geometry.cameras import project
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.model import HandModels
from hmpfit.records import DETECTED, Camera, Floats, HandMotion, KeypointTracks, SolveReport
from hmpfit.registry import load

OnStep = Callable[[int, int], None]
POSES = ("initial", "prior")


@dataclass(frozen=True)
class Fitted:
    """What the fit found, hands as they are (left hands are left again)."""

    motion: HandMotion
    joint_std_mm: Floats  # [H, T, 21]
    landmarks_px: Floats  # [H, T, 21, 2]
    reports: tuple[SolveReport, ...]
    windows: tuple[tuple[int, int], ...]


@torch.no_grad()
def fit(
    initial: HandMotion,
    tracks: KeypointTracks,
    camera: Camera,
    models: HandModels,
    prior: MotionPriorLike | None,
    recipe: dict[str, Any],
    solver: str = "gauss_newton",
    device: str = "cpu",
    on_step: OnStep | None = None,
) -> Fitted:
    """Fit every hand of a clip, starting from a filled initial motion.

    `initial` has all frames, with `status` telling which were detected; `tracks` are the evidence; camera-frame
    metres and pixels throughout. `prior` None frees the poses themselves in stages that free the latent. `solver` is a
    name of the registry, or "none" to return the initial motion with its projections.
    """
    groups = _groups(initial, models)
    parts = [
        _fit_group(initial, tracks, camera, models, prior, recipe, solver, device, hands, on_step) for hands in groups
    ]
    order = np.argsort(np.concatenate(groups))

    def together(arrays: list[Floats]) -> Floats:
        return np.concatenate(arrays)[order]

    motions = [part.motion for part in parts]
    motion = HandMotion(
        **{name: together([getattr(m, name) for m in motions]) for name in HandMotion.__dataclass_fields__}  # type: ignore[arg-type]
    )
    return Fitted(
        motion,
        together([part.joint_std_mm for part in parts]),
        together([part.landmarks_px for part in parts]),
        _sum_reports([part.reports for part in parts]),
        parts[0].windows,
    )


def _groups(initial: HandMotion, models: HandModels) -> list[np.ndarray]:
    """Group the hands that share a hand model; each group is solved as one batch."""
    sides = np.asarray(initial.is_right)
    if models.right is models.left:
        return [np.arange(len(sides))]
    return [hands for hands in (np.flatnonzero(sides), np.flatnonzero(~sides)) if len(hands)]


def _fit_group(
    initial: HandMotion,
    tracks: KeypointTracks,
    camera: Camera,
    models: HandModels,
    prior: MotionPriorLike | None,
    recipe: dict[str, Any],
    solver: str,
    device: str,
    hands: np.ndarray,
    on_step: OnStep | None,
) -> Fitted:
    dtype = torch.float64
    is_right = initial.is_right[hands]
    start = mirroring.motion_as_right(_rows(initial, hands))
    evidence = gather_evidence(start, _track_rows(tracks, hands), camera, is_right, dtype, device)
    kinematics = Kinematics.of(models.side(bool(is_right[0])), dtype, device)
    layout = _layout(evidence, prior, recipe)
    motion = _initial_motion(evidence, start)
    field = None
    if prior is not None:
        evidence, motion, field = _encode(prior, layout, evidence, motion)
    pairs = Pairs.of(is_right, models, evidence)
    reports: list[SolveReport] = []
    problem = Problem(kinematics, evidence, (), ())
    for stage in recipe["stages"] if solver != "none" else ():
        problem, motion = _prepare(stage, prior, kinematics, evidence, motion, field)
        solve: Callable[..., Solved] = load("solvers", solver)
        with torch.enable_grad() if solver != "gauss_newton" else torch.no_grad():
            solved = solve_together(solve, problem, motion, stage, on_step, pairs)
        motion = solved.motion
        reports.append(solved.report)
    points = problem.points(motion)
    xy = project(points, evidence.K[:, :, None], evidence.distortion).cpu().numpy()
    correlated = float(recipe["uncertainty"]["correlated_frames"])
    std = joint_std_mm(alone(problem), motion, correlated) if reports else np.full(points.shape[:-1], np.nan)
    out = replace(
        start,
        global_orient=rotations.log(motion.global_R).cpu().numpy(),
        hand_pose=rotations.log(motion.hand_R).cpu().numpy(),
        transl=motion.transl.cpu().numpy(),
        betas=motion.betas.cpu().numpy(),
    )
    return Fitted(
        mirroring.motion_as_sides(out, is_right),
        std,
        mirroring.pixels_as_sides(xy, is_right, camera.width),
        tuple(reports),
        layout.windows,
    )


def gather_evidence(
    start: HandMotion, tracks: KeypointTracks, camera: Camera, is_right: np.ndarray, dtype: torch.dtype, device: str
) -> Evidence:
    """Turn records into the tensors that terms read; `start` is in right-hand form, `tracks` as seen.

    NaN coordinates become 0 and are not seen: single landmarks may lack, such as a finger that was withheld.
    """
    tracks = mirroring.tracks_as_right(tracks, camera.width)
    world = tracks.world_m if tracks.world_m is not None else np.full((*tracks.seen.shape, 21, 3), np.nan)
    seen = tracks.seen[..., None] & np.isfinite(tracks.xy_px).all(-1)
    has_world = tracks.seen[..., None] & np.isfinite(world).all(-1)
    box = tracks.box_diagonal_px

    def tensor(array: Any) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

    def rotation(angles: Any) -> Tensor:
        return rotations.exp(tensor(angles))

    return Evidence(
        times_s=tensor(tracks.times_s),
        xy_px=tensor(np.nan_to_num(tracks.xy_px)),
        seen=tensor(seen),
        confidence=tensor(np.where(seen, tracks.confidence, 0.0)),
        box_px=tensor(np.where(np.isfinite(box) & (box > 1), box, 1.0)),
        world_m=tensor(np.nan_to_num(world)),
        world_confidence=tensor(np.where(has_world, tracks.confidence, 0.0)),
        world_seen=tensor(has_world),
        K=tensor(mirroring.intrinsics_as_right(camera, is_right)),
        distortion=None if camera.distortion is None else tensor(camera.distortion),
        initial_R=rotation(start.global_orient),
        initial_transl=tensor(start.transl),
        initial_betas=tensor(start.betas),
        initial_hand_R=rotation(start.hand_pose),
        initial_confidence=tensor(start.status == DETECTED),
    )


def _initial_motion(evidence: Evidence, start: HandMotion) -> Motion:
    return Motion(evidence.initial_R, evidence.initial_transl, evidence.initial_betas, evidence.initial_hand_R)


def _layout(evidence: Evidence, prior: MotionPriorLike | None, recipe: dict[str, Any]) -> WindowLayout:
    frames, fps = (prior.window_frames, prior.fps) if prior is not None else (128, 30.0)
    overlap = int(recipe["windows"]["overlap_frames"])
    if not 0 <= overlap <= frames // 2:
        raise InputError(f"windows.overlap_frames is {overlap}; it must lie between 0 and {frames // 2}.")
    return lay_windows(evidence.times_s.cpu(), frames / fps, overlap / fps)


def _encode(
    prior: MotionPriorLike, layout: WindowLayout, evidence: Evidence, motion: Motion
) -> tuple[Evidence, Motion, PoseField]:
    """Encode the initial poses window by window: the posterior of L_MP, and the latents that stage II starts from."""
    dtype, times = motion.transl.dtype, evidence.times_s
    known = evidence.initial_confidence > 0
    means, stds, starts = [], [], []
    for start_s in layout.start_s:
        grid = start_s + torch.arange(prior.window_frames, dtype=dtype) / prior.fps
        poses, mask = resample_poses(motion.hand_R, known, times, grid.to(times))
        mean, log_var = prior.encode(poses, mask)
        means.append(mean)
        starts.append(prior.start(poses, mask))
        stds.append((0.5 * log_var).exp())
    mean, std = torch.stack(means, 1).to(dtype), torch.stack(stds, 1).to(dtype)
    evidence = replace(evidence, latent_mean=mean, latent_std=std, overlap=layout.overlap.to(times))
    latent = torch.stack(starts, 1).to(dtype)
    return evidence, replace(motion, latent=latent), PoseField.build(prior, layout, times, dtype)


def _prepare(
    stage: dict[str, Any],
    prior: MotionPriorLike | None,
    kinematics: Kinematics,
    evidence: Evidence,
    motion: Motion,
    field: PoseField | None,
) -> tuple[Problem, Motion]:
    """Set a stage up: what is free, which terms hold, and which finger poses it starts from."""
    free = tuple(stage["free"])
    for name in free:
        if name not in FREE:
            raise UnknownNameError(f"free variable of stage '{stage['name']}'", name, FREE)
    if stage["pose"] not in POSES:
        raise UnknownNameError(f"pose of stage '{stage['name']}'", stage["pose"], POSES)
    if prior is None and "latent" in free:
        free = tuple("hand_pose" if name == "latent" else name for name in free)
        instead = stage.get("without_prior", {})
        stage = {**stage, **{key: {**stage.get(key, {}), **instead.get(key, {})} for key in ("weights", "kernels")}}
    if stage["pose"] == "prior" and field is not None and motion.latent is not None:
        motion = replace(motion, hand_R=field.blend(field.decode(motion.latent)))
    terms = read_terms(stage, free)
    return Problem(kinematics, evidence, terms, free, field, stage["reduction"]), motion


def _rows(motion: HandMotion, hands: np.ndarray) -> HandMotion:
    return HandMotion(**{name: getattr(motion, name)[hands] for name in HandMotion.__dataclass_fields__})


def _track_rows(tracks: KeypointTracks, hands: np.ndarray) -> KeypointTracks:
    return replace(
        tracks,
        xy_px=tracks.xy_px[hands],
        confidence=tracks.confidence[hands],
        seen=tracks.seen[hands],
        is_right=tracks.is_right[hands],
        world_m=None if tracks.world_m is None else tracks.world_m[hands],
    )


def _sum_reports(groups: list[tuple[SolveReport, ...]]) -> tuple[SolveReport, ...]:
    """Add up the reports of groups of hands, stage by stage; the worst outcome stands."""
    worst = ("not_finite", "out_of_steps", "converged")
    out = []
    for stage in zip(*groups):
        out.append(
            replace(
                stage[0],
                outcome=min((report.outcome for report in stage), key=worst.index),
                steps=max(report.steps for report in stage),
                cost_start=sum(report.cost_start for report in stage),
                cost_end=sum(report.cost_end for report in stage),
                seconds=sum(report.seconds for report in stage),
                terms_start={k: sum(r.terms_start[k] for r in stage) for k in stage[0].terms_start},
                terms_end={k: sum(r.terms_end[k] for r in stage) for k in stage[0].terms_end},
            )
        )
    return tuple(out)
