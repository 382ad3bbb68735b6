"""A small fitting problem with a known answer, for the tests of terms and solvers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hmpfit.fitting.pose_field import PoseField
from hmpfit.fitting.problem import Problem, read_terms
from hmpfit.fitting.two_hands.contact_points import contact_points
from hmpfit.fitting.windows import lay_windows
from hmpfit.geometry import rotations
from hmpfit.geometry.cameras import project
from hmpfit.hands.kinematics import Kinematics, landmark_points
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.prior import MotionPriorLike
from hmpfit.interfaces.term import Evidence, Motion
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.recipes import Stage, load_recipe


@dataclass(frozen=True)
class Made:
    """The truth, the evidence that it gives, and where a solver starts."""

    truth: Motion
    evidence: Evidence
    start: Motion
    kinematics: Kinematics
    field: PoseField
    stage: Stage

    def problem(self, *free: str, stage: Stage | None = None) -> Problem:
        free = free or ("global_orient", "transl", "betas", "latent")
        terms = read_terms(stage or self.stage, free)
        return Problem(self.kinematics, self.evidence, terms, free, self.field)


def make(
    hands: int = 2,
    frames: int = 100,
    noise: float = 1.0,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    pair: bool = False,
) -> Made:
    """Make `hands` problems of `frames` frames at 25 fps with a hole in the evidence; noise 0 is exact evidence.

    With `pair` each has evidence of contacts with another hand.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        prior = MotionPrior().to(dtype).eval().requires_grad_(False)
    kinematics = Kinematics.of(load_hand_models().right, dtype)
    times = torch.arange(frames, dtype=dtype) / 25
    layout = lay_windows(times, prior.window_frames / prior.fps, 32 / 30)
    field = PoseField.build(prior, layout, times, dtype)
    latent = draw(hands, len(layout.start_s), prior.latent_dim, scale=0.3)
    rot6d = field.decode(latent)
    turn = rotations.exp(torch.tensor([0.3, 0.2, 1.0], dtype=dtype))
    truth = Motion(
        global_R=rotations.exp(draw(hands, frames, 3, scale=0.02).cumsum(1)) @ turn,
        transl=draw(hands, frames, 3, scale=0.002).cumsum(1) + torch.tensor([0, 0, 0.6], dtype=dtype),
        betas=draw(hands, 10, scale=0.5),
        hand_R=field.blend(rot6d),
        latent=latent,
        rot6d=rot6d,
    )
    points = landmark_points(kinematics, truth.global_R, truth.hand_R, truth.betas[:, None], truth.transl)
    K = torch.tensor([[900.0, 0, 500], [0, 900, 300], [0, 0, 1]], dtype=dtype).expand(hands, 1, 3, 3)
    xy = project(points, K[:, :, None])
    confidence = torch.ones(hands, frames, 21, dtype=dtype)
    if frames >= 20:
        confidence[:, frames // 3 : frames // 3 + 10] = 0
    start = Motion(
        global_R=rotations.exp(draw(hands, frames, 3, scale=0.05 * noise)) @ truth.global_R,
        transl=truth.transl + draw(hands, frames, 3, scale=0.01 * noise),
        betas=truth.betas + draw(hands, 10, scale=0.3 * noise),
        hand_R=truth.hand_R @ rotations.exp(draw(hands, frames, 15, 3, scale=0.1 * noise)),
        latent=latent + draw(*latent.shape, scale=0.2 * noise),
    )
    evidence = Evidence(
        times_s=times,
        xy_px=xy + draw(*xy.shape, scale=2.0 * noise),
        seen=confidence,
        confidence=confidence,
        box_px=(xy.amax(2) - xy.amin(2)).norm(dim=-1),
        world_m=points - points.mean(2, keepdim=True) + draw(*points.shape, scale=0.003 * noise),
        world_confidence=confidence,
        world_seen=confidence,
        K=K,
        distortion=None,
        initial_R=start.global_R,
        initial_transl=start.transl,
        initial_betas=start.betas,
        initial_hand_R=start.hand_R,
        initial_confidence=confidence[..., 0],
        frames_known=confidence[..., 0].sum(1),
        latent_mean=start.latent,
        latent_std=torch.full_like(latent, 0.5),
        overlap=layout.overlap.expand(hands, -1),
    )
    if pair:
        evidence = _with_another_hand(evidence, truth, points, draw)
    return Made(truth, evidence, start, kinematics, field, load_recipe("default").stages[1])


def _with_another_hand(evidence: Evidence, truth: Motion, points: Tensor, draw: Callable[..., Tensor]) -> Evidence:
    """Add four vertices in contact with another hand per frame, each 1 mm behind its plane at the truth.

    So nothing is penetrated at the truth, and about half of the vertices are before their planes at a start with noise.
    """
    hands, frames = points.shape[:2]
    joint = torch.tensor([0, 3, 6, 15]).expand(hands, frames, -1)  # the wrist and three fingers' last joints
    normal = torch.nn.functional.normalize(draw(hands, frames, 4, 3), dim=-1)
    evidence = replace(
        evidence,
        contact_joint=joint,
        contact_offset=draw(hands, frames, 4, 3, scale=0.01),
        contact_normal=normal,
        contact_weight=torch.full_like(normal[..., 0], 2.0),
    )
    return replace(evidence, contact_plane=contact_points(truth, points, evidence) - 0.001 * normal)


def take_prior(made: Made, prior: MotionPriorLike) -> tuple[Problem, Motion]:
    """State the problem over another prior, float64, and start from its latent of the true poses, repeated in time."""
    times = made.evidence.times_s
    field = PoseField.build(prior, made.field.layout, times, torch.float64)
    rows = torch.linspace(0, len(times) - 1, prior.window_frames).long()
    poses, known = made.truth.hand_R[:, rows], torch.ones(len(made.truth.hand_R), prior.window_frames, dtype=torch.bool)
    latent, (mean, log_var) = prior.start(poses, known)[:, None], prior.encode(poses, known)
    evidence = replace(made.evidence, latent_mean=mean[:, None], latent_std=(0.5 * log_var).exp()[:, None])
    start = replace(made.start, latent=latent, hand_R=field.blend(field.decode(latent)))
    free = ("global_orient", "transl", "betas", "latent")
    return Problem(made.kinematics, evidence, read_terms(made.stage, free), free, field), start


def take(made: Made, hand: int) -> Made:
    """Keep one hand of the batch."""

    def rows(record: Any) -> Any:
        parts = vars(record).items()
        shared = ("times_s", "distortion")
        return type(record)(**{k: v if k in shared or v is None else v[hand : hand + 1] for k, v in parts})

    return Made(rows(made.truth), rows(made.evidence), rows(made.start), made.kinematics, made.field, made.stage)
