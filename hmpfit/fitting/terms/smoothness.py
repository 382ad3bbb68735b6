"""Terms that keep the motion smooth: L_os and L_ts of the poster, and ours for poses that no prior holds.

Where the camera moves, what is smooth is the hand's motion through the world, not before the camera.

Differences are divided by the time step in units of 1/30 s, so that a weight means the same at any frame rate
(docs/method.md section 2: sums as printed, times (fps / 30)^2). A sum over time (`per_time`) holds a hand that is seen
six times a second as firmly as one that is seen thirty times; a sum over steps holds it a fifth as firmly.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.interfaces.term import Evidence, Motion, Residual, Term

REFERENCE_FPS = 30.0


@dataclass(frozen=True)
class StepOptions:
    """Options of every term over steps. `per_time`: a step counts as long as it takes, in 1/30 s."""

    per_time: bool = False


def orient_step_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: StepOptions) -> Residual:
    """Return the turn of the global rotation between frames, [B, T - 1, 1, 3] radians per 1/30 s (L_os)."""
    turned = motion.global_R if evidence.world_turn is None else evidence.world_turn @ motion.global_R
    return _steps(_turn(turned)[..., None, :], evidence, options)


@dataclass(frozen=True)
class TranslSmoothOptions(StepOptions):
    """Options of `transl_smooth`."""

    scale_free: bool = False
    along_ray: float = 1.0


def transl_step_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: TranslSmoothOptions) -> Residual:
    """Return the move of the translation between frames, [B, T - 1, 1, 3] meters per 1/30 s (L_ts).

    Options, before a camera that is still. `scale_free`: times the first guess's distance over the hand's; otherwise a
    hand that is smaller and nearer, with the same picture, moves less and is preferred. `along_ray`: how much more the
    move along the line of sight counts (1), of which pictures tell least.
    """
    place = motion.transl
    if evidence.world_turn is not None and evidence.world_shift is not None:
        place = (evidence.world_turn @ place[..., None])[..., 0] + evidence.world_shift
    moves = place[:, 1:] - place[:, :-1]
    if evidence.world_turn is None and options.along_ray != 1:
        ray = torch.nn.functional.normalize(place[:, 1:] + place[:, :-1], dim=-1)
        moves = moves + (options.along_ray - 1) * (moves * ray).sum(-1, keepdim=True) * ray
    if evidence.world_turn is None and options.scale_free:
        first, now = (one.norm(dim=-1) for one in (evidence.initial_transl, motion.transl))
        moves = moves * ((first[:, 1:] + first[:, :-1]) / (now[:, 1:] + now[:, :-1]))[..., None]
    return _steps(moves[..., None, :], evidence, options)


def pose_step_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: StepOptions) -> Residual:
    """Return the turn of the finger joints between frames, [B, T - 1, 15, 3] radians per 1/30 s (ours)."""
    return _steps(_turn(motion.hand_R), evidence, options)


def _turn(matrices: Tensor) -> Tensor:
    return rotations.log(matrices[:, :-1].transpose(-1, -2) @ matrices[:, 1:])


def _steps(values: Tensor, evidence: Evidence, options: StepOptions) -> Residual:
    steps = ((evidence.times_s[1:] - evidence.times_s[:-1]) * REFERENCE_FPS)[:, None]
    exist = evidence.steps_exist()
    exist = exist[..., None] if isinstance(exist, Tensor) else exist
    counts = steps.to(values) if options.per_time else 1.0
    return Residual(values / steps[..., None], values.new_ones(values.shape[:-1]) * exist * counts)


ORIENT = Term("orient_smooth", "step", orient_step_residuals, StepOptions)
TRANSL = Term("transl_smooth", "step", transl_step_residuals, TranslSmoothOptions)
POSE = Term("pose_smooth", "step", pose_step_residuals, StepOptions)
