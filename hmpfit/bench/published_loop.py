"""The published method's inner loop as it runs, for comparison: nothing here is used by the fit.

Every step skins the whole mesh and evaluates the whole `paper`-size decoder at every frame; Adam, 400 + 400 steps, in
float32. Written plainly on purpose. Source: docs/method.md sections 2 (weights and reductions) and 6.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from smplx.lbs import lbs
from torch import Tensor, nn

from hmpfit.geometry import rotations
from hmpfit.geometry.cameras import project
from hmpfit.hands.kinematics import POINT_JOINT, Kinematics
from hmpfit.hands.model import HandModel
from hmpfit.interfaces.term import Evidence
from hmpfit.priors.motion_field.decoder import Decoder
from hmpfit.priors.motion_field.sizes import PAPER
from hmpfit.skeleton import MANO_PARENTS

STEPS, RATE, DECAY_EVERY, DECAY, CLIP = 400, 0.05, 200, 0.7, 5.0
SCALE_PX = 40.0
WEIGHTS: tuple[dict[str, float], ...] = (  # docs/method.md section 2, preset `in_the_wild`
    {"transl_to_initial": 10, "orient_smooth": 1, "transl_smooth": 10, "betas_to_initial": 10, "keypoints_2d": 0.05},
    {
        "transl_to_initial": 10, "orient_smooth": 1, "transl_smooth": 10, "betas_to_initial": 10, "keypoints_2d": 0.05,
        "prior": 200,
    },
)  # fmt: skip
RIDGE = 1e-4


@dataclass(frozen=True)
class LoopRun:
    """What the loop did: windows B of N frames. `history` is (seconds, cost) per step over both stages."""

    seconds: float
    history: tuple[tuple[float, float], ...]
    landmarks_px: np.ndarray  # [B, N, 21, 2]


def run_published_loop(
    model: HandModel,
    evidence: Evidence,
    windows: tuple[tuple[int, int], ...],
    fps: float,
    steps: int = STEPS,
    on_step: Callable[[int, int], None] | None = None,
) -> LoopRun:
    """Fit one hand's windows, each for itself, side by side in one batch; `evidence` is that of the fit (B = 1).

    The decoder has the paper's size and untrained inner layers; its last layer is solved so that the starting latent
    decodes to the initial poses. The cost of a step does not depend on the weights, and the poses are free to move.
    """
    torch.manual_seed(0)
    began = time.perf_counter()
    length = max(b - a for a, b in windows)
    frames = torch.stack([torch.arange(a, a + length).clamp_max(b - 1) for a, b in windows])
    exists = torch.stack([torch.arange(a, a + length) < b for a, b in windows]).float()
    given = _Given.of(evidence, frames, exists)
    hand = _Mesh.of(model)
    field = Decoder(PAPER).eval().requires_grad_(False)
    t = (torch.arange(length) / fps * (2 * PAPER.fps / PAPER.window_frames) - 1).float()
    start = torch.zeros(len(windows), PAPER.latent)
    _decode_initial_poses(field, start, t, given.hand_R)
    unknowns = {
        "orient": rotations.log(given.orient_R).requires_grad_(),
        "transl": given.transl.clone().requires_grad_(),
        "betas": given.betas.clone().requires_grad_(),
        "latent": start.clone().requires_grad_(),
    }
    history: list[tuple[float, float]] = []
    for stage, weights in enumerate(WEIGHTS):
        free = [value for name, value in unknowns.items() if stage == 1 or name != "latent"]
        optimizer = torch.optim.Adam(free, lr=RATE)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, DECAY_EVERY, DECAY)
        for step in range(steps):
            optimizer.zero_grad()
            cost = _cost(_pixels(unknowns, hand, field, t, given)[0], unknowns, given, weights, fps)
            cost.backward()
            nn.utils.clip_grad_norm_(free, CLIP)
            optimizer.step()
            schedule.step()
            history.append((time.perf_counter() - began, float(cost.detach())))
            if on_step is not None:
                on_step(stage * steps + step + 1, 2 * steps)
    with torch.no_grad():
        pixels, _ = _pixels(unknowns, hand, field, t, given)
    return LoopRun(time.perf_counter() - began, tuple(history), pixels.double().numpy())


@dataclass(frozen=True)
class _Given:
    """The evidence cut into windows, float32; padding frames have confidence 0."""

    xy_px: Tensor  # [B, N, 21, 2]
    confidence: Tensor  # [B, N, 21]
    K: Tensor  # [B, N, 3, 3]
    distortion: Tensor | None
    orient_R: Tensor  # [B, N, 3, 3]
    transl: Tensor  # [B, N, 3]
    betas: Tensor  # [B, 10]
    hand_R: Tensor  # [B, N, 15, 3, 3]
    exists: Tensor  # [B, N]
    initial_transl_known: Tensor  # [B, N]

    @staticmethod
    def of(evidence: Evidence, frames: Tensor, exists: Tensor) -> "_Given":
        K = evidence.K[0].expand(len(evidence.times_s), 3, 3)

        def cut(values: Tensor) -> Tensor:
            return values[0][frames].float()

        return _Given(
            cut(evidence.xy_px), cut(evidence.confidence) * exists[..., None], K[frames].float(),
            None if evidence.distortion is None else evidence.distortion.float(), cut(evidence.initial_R),
            cut(evidence.initial_transl), evidence.initial_betas.float().repeat(len(frames), 1),
            cut(evidence.initial_hand_R), exists, cut(evidence.initial_confidence) * exists,
        )  # fmt: skip


@dataclass(frozen=True)
class _Mesh:
    """A hand model as smplx skins it, and the 21 landmark points as further vertices that move with one joint each."""

    v_template: Tensor  # [1, V + 21, 3]
    shapedirs: Tensor
    posedirs: Tensor
    J_regressor: Tensor
    parents: Tensor
    weights: Tensor

    @staticmethod
    def of(model: HandModel) -> "_Mesh":
        points = Kinematics.of(model)
        vertices = len(model.v_template)
        rigid = np.eye(16)[list(POINT_JOINT)]
        corrective = np.concatenate((model.posedirs.reshape(135, vertices, 3), np.zeros((135, 21, 3))), axis=1)
        arrays = (
            np.concatenate((model.v_template, points.points))[None],
            np.concatenate((model.shapedirs, points.points_dirs)),
            corrective.reshape(135, -1),
            np.concatenate((model.J_regressor, np.zeros((16, 21))), axis=1),
        )
        template, shapes, correctives, regressor = (torch.as_tensor(array, dtype=torch.float32) for array in arrays)
        weights = torch.as_tensor(np.concatenate((model.weights, rigid)), dtype=torch.float32)
        return _Mesh(template, shapes, correctives, regressor, torch.tensor(MANO_PARENTS), weights)

    def points(self, orient_R: Tensor, hand_R: Tensor, betas: Tensor, transl: Tensor) -> Tensor:
        """Skin every vertex of every frame and return the landmark points [B, N, 21, 3]."""
        b, n = transl.shape[:2]
        pose = torch.cat((orient_R[:, :, None], hand_R), dim=2).flatten(0, 1)
        shape = betas[:, None].expand(b, n, 10).flatten(0, 1)
        vertices, _ = lbs(
            shape, pose, self.v_template.expand(b * n, -1, -1), self.shapedirs, self.posedirs, self.J_regressor,
            self.parents, self.weights, pose2rot=False,
        )  # fmt: skip
        moved: Tensor = vertices + transl.flatten(0, 1)[:, None]
        return moved[:, -21:].unflatten(0, (b, n))


def _decode_initial_poses(field: Decoder, latent: Tensor, t: Tensor, hand_R: Tensor) -> None:
    """Solve the decoder's last layer (least squares with a small ridge) so that `latent` decodes to `hand_R`."""
    kept: list[Tensor] = []
    handle = field.out.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    field(latent, t)
    handle.remove()
    features = nn.functional.pad(kept[0].flatten(0, 1).double(), (0, 1), value=1.0)
    target = rotations.to_6d(hand_R).flatten(2).flatten(0, 1).double()
    gram = features.T @ features
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    solved = torch.linalg.solve(gram, features.T @ target).float()
    field.out.weight[6:], field.out.bias[6:] = solved[:-1].T, solved[-1]


def _pixels(
    unknowns: dict[str, Tensor], hand: _Mesh, field: Decoder, t: Tensor, given: _Given
) -> tuple[Tensor, Tensor]:
    hand_R = rotations.from_6d(field(unknowns["latent"], t))
    points = hand.points(rotations.exp(unknowns["orient"]), hand_R, unknowns["betas"], unknowns["transl"])
    return project(points, given.K[:, :, None], given.distortion), points


def _cost(xy: Tensor, unknowns: dict[str, Tensor], given: _Given, weights: dict[str, float], fps: float) -> Tensor:
    """Return the sum over windows of the weighted means of docs/method.md section 2, rows [R]."""
    both = (given.exists[:, 1:] * given.exists[:, :-1])[..., None]
    turns = rotations.exp(unknowns["orient"])
    squared = (xy - given.xy_px).square()
    robust = SCALE_PX**2 * squared / (SCALE_PX**2 + squared)
    known, steps = given.initial_transl_known[..., None], both.sum((1, 2)).clamp_min(1) * 3
    terms: dict[str, Tensor] = {
        "keypoints_2d": (given.confidence.square()[..., None] * robust).mean((1, 2, 3)),
        "transl_to_initial": ((unknowns["transl"] - given.transl).square() * known).mean((1, 2)),
        "betas_to_initial": (unknowns["betas"] - given.betas).square().mean(1),
        "orient_smooth": 0.5
        * (both * fps**2 * rotations.log(turns[:, :-1].mT @ turns[:, 1:]).square()).sum((1, 2))
        / steps,
        "transl_smooth": 0.5
        * (both * fps**2 * (unknowns["transl"][:, 1:] - unknowns["transl"][:, :-1]).square()).sum((1, 2))
        / steps,
        "prior": 0.5 * unknowns["latent"].square().mean(1),
    }
    return torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()


def data_term(landmarks_px: np.ndarray, evidence: Any, frames: np.ndarray) -> float:
    """Return the published 2D term of the given frames' projections [N, 21, 2]: mean of confidence squared x kernel."""
    squared = (landmarks_px - evidence.xy_px[0, frames].cpu().numpy()) ** 2
    robust = SCALE_PX**2 * squared / (SCALE_PX**2 + squared)
    confidence = evidence.confidence[0, frames].cpu().numpy() ** 2
    return float((confidence[..., None] * robust).mean())
