"""Hand poses from 3D landmarks, with or without their pixels: every frame for itself, all frames in one batch.

Separate from the fit because it knows nothing of time and needs no start: it makes the start. Damped Gauss-Newton with
Geman-McClure weights over the wrist's rotation, its place in the camera, the origin of the landmarks and 45 angles.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hmpfit.geometry.light_roma import roma
from hmpfit.geometry.rotations import exp, right_jacobian
from hmpfit.hands.anatomy import Anatomy, anatomy, flexion_row
from hmpfit.hands.kinematics import (
    ORIENT_COLUMNS,
    POSE_COLUMNS,
    Kinematics,
    landmark_jacobian,
    landmark_points,
)
from hmpfit.skeleton import FINGERS, OPENPOSE_PALM, openpose

NEAREST_DEPTH_M = 0.05


@dataclass(frozen=True)
class Targets:
    """What the points of N frames should meet: 3D landmarks up to a translation, and rays of the camera.

    Weights are confidences, 0 = unknown; values under weight 0 must be finite. `xy` are undistorted pixels over the
    focal length (x / z, y / z), and `xy_std` is how far they stray in these units, frame by frame.
    """

    points_m: Tensor  # [N, 21, 3] camera axes, any origin
    weights: Tensor  # [N, 21]
    xy: Tensor | None = None  # [N, 21, 2]
    xy_weights: Tensor | None = None  # [N, 21]
    xy_std: Tensor | None = None  # [N]

    def chunk(self, start: int, stop: int) -> "Targets":
        """Return the frames start..stop."""

        def cut(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[start:stop]

        return Targets(
            self.points_m[start:stop], self.weights[start:stop], cut(self.xy), cut(self.xy_weights), cut(self.xy_std)
        )


@dataclass(frozen=True)
class IKSettings:
    """How the solver weighs and stops. Standard deviations are of a trusted landmark (weight 1)."""

    points_std_m: float = 0.008
    depth_std_m: float | None = None  # along the line of sight; without it the same
    outlier_std: float = 3.0  # Geman-McClure scale, in standard deviations
    anatomy_strength: float = 1.0
    steps: int = 20
    chunk: int = 256

    def axes_std(self, like: Tensor) -> Tensor:
        """Return the standard deviations [3] of a 3D landmark along the camera's axes."""
        depth = self.points_std_m if self.depth_std_m is None else self.depth_std_m
        return like.new_tensor([self.points_std_m, self.points_std_m, depth])


@dataclass(frozen=True)
class PoseSolution:
    """Right-hand poses of N frames; `transl` is the camera's when rays were given, else that of the landmarks."""

    global_R: Tensor  # [N, 3, 3]
    pose: Tensor  # [N, 15, 3] axis-angle
    transl: Tensor  # [N, 3]
    cost: Tensor  # [N]


@dataclass(frozen=True)
class _State:
    global_R: Tensor  # [N, 3, 3]
    transl: Tensor  # [N, 3] in the camera
    origin: Tensor  # [N, 3] transl as the landmarks have it
    pose: Tensor  # [N, 45]

    def moved(self, step: Tensor) -> "_State":
        return _State(
            exp(step[:, :3]) @ self.global_R,
            self.transl + step[:, 3:6],
            self.origin + step[:, 6:9],
            self.pose + step[:, 9:],
        )

    def chosen(self, other: "_State", take: Tensor) -> "_State":
        return _State(
            torch.where(take[:, None, None], other.global_R, self.global_R),
            torch.where(take[:, None], other.transl, self.transl),
            torch.where(take[:, None], other.origin, self.origin),
            torch.where(take[:, None], other.pose, self.pose),
        )


def solve_pose(kin: Kinematics, betas: Tensor, targets: Targets, settings: IKSettings | None = None) -> PoseSolution:
    """Find the wrist rotations, translations and finger angles of a hand of shape betas [10] that meet the targets.

    Frames are independent of each other; memory is bounded by `settings.chunk` frames. Deterministic, in kin's dtype.
    """
    settings = settings or IKSettings()
    rules = anatomy(settings.anatomy_strength, kin.points.dtype)
    parts = [
        _solve_chunk(kin, betas, targets.chunk(start, start + settings.chunk), rules, settings)
        for start in range(0, targets.points_m.shape[0], settings.chunk)
    ]
    if not parts:
        empty = targets.points_m.new_zeros(0)
        return PoseSolution(empty.reshape(0, 3, 3), empty.reshape(0, 15, 3), empty.reshape(0, 3), empty)
    return PoseSolution(
        torch.cat([p.global_R for p in parts]),
        torch.cat([p.pose for p in parts]),
        torch.cat([p.transl for p in parts]),
        torch.cat([p.cost for p in parts]),
    )


def _solve_chunk(
    kin: Kinematics, betas: Tensor, targets: Targets, rules: Anatomy, settings: IKSettings
) -> PoseSolution:
    state = _start(kin, betas, targets, rules)
    damping = torch.full_like(state.pose[:, 0], 1e-2)
    cost = torch.zeros_like(damping)
    for index in range(settings.steps):
        # Outliers are judged late: at first every residual may be large.
        outlier_std = settings.outlier_std * max(1.0, 8.0 * (1 - 2 * index / settings.steps))
        gradient, hessian, cost = _normal_equations(kin, betas, state, targets, rules, settings, outlier_std)
        diagonal = hessian.diagonal(dim1=-2, dim2=-1)
        damped = hessian + torch.diag_embed(damping[:, None] * diagonal + 1e-9 * diagonal.amax(-1, keepdim=True))
        step = -torch.cholesky_solve(gradient[..., None], torch.linalg.cholesky(damped))[..., 0]
        proposed = state.moved(step)
        new_cost = _cost(kin, betas, proposed, targets, rules, settings, outlier_std)
        better = new_cost < cost
        state = state.chosen(proposed, better)
        cost = torch.where(better, new_cost, cost)
        damping = torch.where(better, damping / 5, damping * 6).clamp(1e-7, 1e4)
    transl = state.origin if targets.xy is None else state.transl
    return PoseSolution(state.global_R, state.pose.unflatten(-1, (15, 3)), transl, cost)


def _start(kin: Kinematics, betas: Tensor, targets: Targets, rules: Anatomy) -> _State:
    """Turn the palm by Procrustes, bend the fingers by the angles between their bones, place by the rays."""
    _, rest_points = kin.rest(betas)
    frames = targets.points_m.shape[0]
    palm = list(OPENPOSE_PALM)
    weights = targets.weights[:, palm] + 1e-6
    turn, _ = roma.rigid_points_registration(
        rest_points[palm].expand(frames, -1, -1), targets.points_m[:, palm], weights=weights
    )
    pose = _bent_fingers(targets.points_m @ turn, targets.weights, rules)
    zero = pose.new_zeros(frames, 3)
    posed = landmark_points(kin, turn, exp(pose.unflatten(-1, (15, 3))), betas, zero)
    share = (targets.weights + 1e-9)[..., None]
    origin = ((targets.points_m - posed) * share).sum(1) / share.sum(1)
    transl = zero if targets.xy is None else place_by_rays(posed, targets.xy, _weights(targets.xy_weights))
    return _State(turn, transl, origin, pose)


def _bent_fingers(in_hand: Tensor, weights: Tensor, rules: Anatomy) -> Tensor:
    """Read the flexion of the four fingers from points [N, 21, 3] in the hand's frame; the rest relaxed, [N, 45]."""
    pose = rules.rest.expand(in_hand.shape[0], 45)
    for finger in FINGERS[1:]:
        names = [f"{finger}{part}" for part in (1, 2, 3)]
        rows = [openpose(name) for name in (*names, f"{finger}_tip")]
        bones = torch.nn.functional.normalize(in_hand[:, rows[1:]] - in_hand[:, rows[:-1]], dim=-1)
        angles = [torch.atan2(-bones[:, 0, 1], -bones[:, 0, 0])]
        angles += [(bones[:, k] * bones[:, k + 1]).sum(-1).clamp(-1, 1).arccos() for k in (0, 1)]
        known = weights[:, rows].amin(-1) > 0
        for name, angle in zip(names, angles):
            axis = flexion_row(rules.axes, name)
            bent = pose + (angle - pose @ axis)[:, None] * axis
            pose = torch.where(known[:, None], bent, pose)
    return rules.clipped(pose)


def place_by_rays(points: Tensor, xy: Tensor, weights: Tensor) -> Tensor:
    """Return the translations [N, 3] that bring points [N, 21, 3] onto the rays xy [N, 21, 2], linear least squares.

    Solves x + t_x = u (z + t_z) and the same for y, weighted [N, 21]; the depth of every point is kept above 5 cm.
    """
    rows = points.new_zeros(*xy.shape, 3)
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., :, 2] = -xy
    right = xy * points[..., 2:] - points[..., :2]
    share = weights[..., None, None]
    normal = (rows.mT @ (share * rows)).sum(1)
    normal = normal + 1e-9 * torch.eye(3, dtype=points.dtype, device=points.device)
    transl = torch.linalg.solve(normal, (rows.mT @ (share * right[..., None])).sum(1)[..., 0])
    shallow = NEAREST_DEPTH_M - points[..., 2].amin(-1)
    return torch.cat((transl[:, :2], torch.maximum(transl[:, 2], shallow)[:, None]), dim=-1)


def _weights(weights: Tensor | None) -> Tensor:
    assert weights is not None, "rays need weights"
    return weights


def _residuals(points: Tensor, state: _State, targets: Targets, settings: IKSettings) -> tuple[Tensor, Tensor | None]:
    """Return 3D [N, 21, 3] and ray [N, 21, 2] residuals in standard deviations; `points` have transl 0."""
    spatial = (points + state.origin[:, None] - targets.points_m) / settings.axes_std(points)
    if targets.xy is None or targets.xy_std is None:
        return spatial, None
    placed = points + state.transl[:, None]
    depth = placed[..., 2:].clamp_min(NEAREST_DEPTH_M)
    return spatial, (placed[..., :2] / depth - targets.xy) / targets.xy_std[:, None, None]


def _robust(residual: Tensor, weights: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return Geman-McClure costs [N] and the reweighting [N, 21] of residual vectors [N, 21, D]."""
    squared = residual.square().sum(-1)
    share = scale**2 / (scale**2 + squared)
    return (weights * share * squared).sum(-1), weights * share.square()


def _cost(
    kin: Kinematics,
    betas: Tensor,
    state: _State,
    targets: Targets,
    rules: Anatomy,
    settings: IKSettings,
    outlier_std: float,
) -> Tensor:
    hand_R = exp(state.pose.unflatten(-1, (15, 3)))
    points = landmark_points(kin, state.global_R, hand_R, betas, torch.zeros_like(state.transl))
    spatial, rays = _residuals(points, state, targets, settings)
    cost = _robust(spatial, targets.weights, outlier_std)[0] + rules.cost(state.pose)
    return cost if rays is None else cost + _robust(rays, _weights(targets.xy_weights), outlier_std)[0]


def _normal_equations(
    kin: Kinematics,
    betas: Tensor,
    state: _State,
    targets: Targets,
    rules: Anatomy,
    settings: IKSettings,
    outlier_std: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradient [N, 54], Gauss-Newton matrix [N, 54, 54] and cost [N]; columns as in `_State.moved`."""
    angles = state.pose.unflatten(-1, (15, 3))
    points, by_all = landmark_jacobian(kin, state.global_R, exp(angles), betas, torch.zeros_like(state.transl))
    by_angles = by_all[..., POSE_COLUMNS].unflatten(-1, (15, 3))
    by_angles = torch.einsum("npcjk,njkl->npcjl", by_angles, right_jacobian(angles)).flatten(-2)
    by_turn = by_all[..., ORIENT_COLUMNS]
    none = torch.zeros_like(by_turn)
    eye = torch.eye(3, dtype=points.dtype, device=points.device).expand_as(by_turn)

    spatial, rays = _residuals(points, state, targets, settings)
    cost, weights = _robust(spatial, targets.weights, outlier_std)
    rows = torch.cat((by_turn, none, eye, by_angles), dim=-1) / settings.axes_std(points)[:, None]
    gradient, hessian = _accumulate(rows, spatial, weights)
    if rays is not None and targets.xy_std is not None:
        placed = points + state.transl[:, None]
        depth = placed[..., 2:].clamp_min(NEAREST_DEPTH_M)
        by_point = torch.cat((eye[..., :2, :2], -(placed[..., :2] / depth)[..., None]), dim=-1) / depth[..., None]
        by_point = by_point / targets.xy_std[:, None, None, None]
        more_cost, weights = _robust(rays, _weights(targets.xy_weights), outlier_std)
        rows = by_point @ torch.cat((by_turn, eye, none, by_angles), dim=-1)
        more_gradient, more_hessian = _accumulate(rows, rays, weights)
        cost, gradient, hessian = cost + more_cost, gradient + more_gradient, hessian + more_hessian
    rule_gradient, rule_hessian = rules.gradient_and_hessian(state.pose)
    gradient[:, 9:] += rule_gradient
    hessian[:, 9:, 9:] += rule_hessian
    return gradient, hessian, cost + rules.cost(state.pose)


def _accumulate(rows: Tensor, residual: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    flat = rows.flatten(1, 2)
    weighted = (rows * weights[..., None, None]).flatten(1, 2)
    return (weighted.mT @ residual.flatten(1)[..., None])[..., 0], weighted.mT @ flat
