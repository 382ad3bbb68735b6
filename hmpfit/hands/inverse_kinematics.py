"""Hand poses from 3D landmarks, with or without their pixels: every frame for itself, all frames in one batch.

Separate from the fit because it uses no other frame and needs no start: it makes the start. Damped Gauss-Newton with
Geman-McClure weights over the wrist's rotation, its place in the camera, the origin of the landmarks and 45 angles.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmpfit.geometry.light_roma import roma
from hmpfit.geometry.rotations import exp
from hmpfit.hands.anatomy import Anatomy, anatomy, flexion_row
from hmpfit.hands.kinematics import Kinematics, PosedJoints, joints_and_points, landmark_points
from hmpfit.hands.pose_equations import PointPull, PoseEquations, pose_equations
from hmpfit.process_copies import Send, side_by_side
from hmpfit.skeleton import FINGERS, OPENPOSE_PALM, openpose

NEAREST_DEPTH_M = 0.05
_LEAST_HALF = 5000  # frames times steps: a smaller half takes as long as what a copy costs and both halves have alike
_WORTH_LEAVING = 8  # frames leave a batch when one in this many has ended


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

    def take(self, rows: Tensor | slice) -> "Targets":
        """Return some frames."""

        def cut(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[rows]

        return Targets(self.points_m[rows], self.weights[rows], cut(self.xy), cut(self.xy_weights), cut(self.xy_std))


@dataclass(frozen=True)
class IKSettings:
    """How the solver weighs and stops. Standard deviations are of a trusted landmark (weight 1)."""

    points_std_m: float = 0.008
    depth_std_m: float | None = None  # along the line of sight; without it the same
    outlier_std: float = 3.0  # Geman-McClure scale, in standard deviations
    anatomy_strength: float = 1.0
    steps: int = 20
    tolerance: float = 1e-5  # relative fall of the cost, at the last outlier scale, from which a frame no longer moves
    chunk: int = 640

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

    def take(self, rows: Tensor) -> "_State":
        return _State(self.global_R[rows], self.transl[rows], self.origin[rows], self.pose[rows])

    def put(self, rows: Tensor, part: "_State") -> "_State":
        return _State(*(getattr(self, name).index_copy(0, rows, value) for name, value in vars(part).items()))

    def chosen(self, other: "_State", take: Tensor) -> "_State":
        return _State(
            torch.where(take[:, None, None], other.global_R, self.global_R),
            torch.where(take[:, None], other.transl, self.transl),
            torch.where(take[:, None], other.origin, self.origin),
            torch.where(take[:, None], other.pose, self.pose),
        )


def solve_pose(kin: Kinematics, betas: Tensor, targets: Targets, settings: IKSettings | None = None) -> PoseSolution:
    """Find the wrist rotations, translations and finger angles of a hand of shape betas [10] that meet the targets.

    Frames are independent of each other; memory is bounded by `settings.chunk` frames. Both halves of many frames are
    solved side by side where this process can be copied, with the same result. Deterministic, in kin's dtype.
    """
    settings, frames = settings or IKSettings(), targets.points_m.shape[0]
    if frames * settings.steps < 2 * _LEAST_HALF or kin.points.device.type != "cpu":
        return _solve_all(kin, betas, targets, settings)
    halves = [slice(0, frames // 2), slice(frames // 2, frames)]

    def solve(half: slice, send: Send) -> list[NDArray[np.floating]]:
        return [part.numpy() for part in vars(_solve_all(kin, betas, targets.take(half), settings)).values()]

    found = side_by_side([partial(solve, half) for half in halves])
    return PoseSolution(*(torch.from_numpy(np.concatenate(parts)) for parts in zip(*found, strict=True)))


def _solve_all(kin: Kinematics, betas: Tensor, targets: Targets, settings: IKSettings) -> PoseSolution:
    rules = anatomy(settings.anatomy_strength, kin.points.dtype)
    parts = [
        _solve_chunk(kin, betas, targets.take(slice(start, start + settings.chunk)), rules, settings)
        for start in range(0, targets.points_m.shape[0], settings.chunk)
    ]
    if not parts:
        empty = targets.points_m.new_zeros(0)
        return PoseSolution(empty.reshape(0, 3, 3), empty.reshape(0, 15, 3), empty.reshape(0, 3), empty)
    return PoseSolution(**{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def _solve_chunk(
    kin: Kinematics, betas: Tensor, targets: Targets, rules: Anatomy, settings: IKSettings
) -> PoseSolution:
    start = _start(kin, betas, targets, rules)
    best, costs = start, torch.zeros_like(start.pose[:, 0])
    rows = torch.arange(len(costs), device=costs.device)  # the frames that still move
    state, posed, damping = start, _posed(kin, betas, start), torch.full_like(costs, 1e-2)
    for index in range(settings.steps):
        # Outliers are judged late: at first every residual may be large.
        widening = 8.0 * (1 - 2 * index / settings.steps)
        outlier_std = settings.outlier_std * max(1.0, widening)
        equations, cost = _linearized(posed, state, targets, rules, settings, outlier_std)
        proposed = state.moved(equations.step(damping))
        proposed_posed = _posed(kin, betas, proposed)
        new_cost = _cost(proposed_posed, proposed, targets, rules, settings, outlier_std)
        better = new_cost < cost
        ended = better & (cost - new_cost <= settings.tolerance * cost) & (widening <= 1.0)
        state, posed = state.chosen(proposed, better), posed.chosen(proposed_posed, better)
        cost = torch.where(better, new_cost, cost)
        damping = torch.where(better, damping / 5, damping * 6).clamp(1e-7, 1e4)
        last = index + 1 == settings.steps
        if last or ended.sum() * _WORTH_LEAVING > len(ended):
            best, costs = best.put(rows, state), costs.index_copy(0, rows, cost)
            kept = torch.nonzero(~ended).flatten()
            if last or len(kept) == 0:
                break
            rows, state, posed = rows[kept], state.take(kept), posed.take(kept)
            damping, targets = damping[kept], targets.take(kept)
    transl = best.origin if targets.xy is None else best.transl
    return PoseSolution(best.global_R, best.pose.unflatten(-1, (15, 3)), transl, costs)


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


@dataclass(frozen=True)
class _Posed:
    """Where a state has joints and points, with transl 0."""

    rotations: Tensor  # [N, 16, 3, 3]
    positions: Tensor  # [N, 16, 3]
    points: Tensor  # [N, 21, 3]

    def take(self, rows: Tensor) -> "_Posed":
        return _Posed(*(part[rows] for part in vars(self).values()))

    def chosen(self, other: "_Posed", take: Tensor) -> "_Posed":
        pairs = zip(vars(other).values(), vars(self).values(), strict=True)
        return _Posed(*(torch.where(take.reshape(-1, *[1] * (new.ndim - 1)), new, old) for new, old in pairs))


def _posed(kin: Kinematics, betas: Tensor, state: _State) -> _Posed:
    hand_R = exp(state.pose.unflatten(-1, (15, 3)))
    joints, points = joints_and_points(kin, state.global_R, hand_R, betas, torch.zeros_like(state.transl))
    return _Posed(joints.rotations, joints.positions, points)


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
    posed: _Posed, state: _State, targets: Targets, rules: Anatomy, settings: IKSettings, outlier_std: float
) -> Tensor:
    spatial, rays = _residuals(posed.points, state, targets, settings)
    cost = _robust(spatial, targets.weights, outlier_std)[0] + rules.cost(state.pose)
    return cost if rays is None else cost + _robust(rays, _weights(targets.xy_weights), outlier_std)[0]


def _linearized(
    posed: _Posed, state: _State, targets: Targets, rules: Anatomy, settings: IKSettings, outlier_std: float
) -> tuple[PoseEquations, Tensor]:
    """Return the Gauss-Newton model at a state and its cost [N]."""
    points = posed.points
    spatial, rays = _residuals(points, state, targets, settings)
    cost, weights = _robust(spatial, targets.weights, outlier_std)
    precision = 1 / settings.axes_std(points)
    by_space = PointPull(weights[..., None] * spatial * precision, torch.diag_embed(weights[..., None] * precision**2))
    by_rays = None
    if rays is not None and targets.xy_std is not None:
        placed = points + state.transl[:, None]
        depth = placed[..., 2:].clamp_min(NEAREST_DEPTH_M)
        eye = torch.eye(2, dtype=points.dtype, device=points.device).expand(*placed.shape[:-1], 2, 2)
        by_point = torch.cat((eye, -(placed[..., :2] / depth)[..., None]), dim=-1) / depth[..., None]
        by_point = by_point / targets.xy_std[:, None, None, None]
        more_cost, weights = _robust(rays, _weights(targets.xy_weights), outlier_std)
        weighted = weights[..., None, None] * by_point
        by_rays = PointPull((weighted * rays[..., None]).sum(-2), weighted.mT @ by_point)
        cost = cost + more_cost
    joints = PosedJoints(posed.rotations, posed.positions)
    return pose_equations(joints, points, state.pose, by_space, by_rays, rules), cost + rules.cost(state.pose)
