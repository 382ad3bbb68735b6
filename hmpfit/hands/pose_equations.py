"""The normal equations of one pose, finger by finger: angles of two fingers meet through the wrist alone.

Separate from the inverse kinematics, whose residuals these are about. Of a 54 x 54 matrix a frame only five blocks of
nine angles and their border are ever made: a fifth of the memory and a twentieth of the products.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hmpfit.geometry.rotations import hat, right_jacobian
from hmpfit.hands.anatomy import Anatomy
from hmpfit.hands.kinematics import PosedJoints
from hmpfit.skeleton import FINGERS, chain

_CHAINS = torch.tensor([chain(finger) for finger in FINGERS])  # [5, 3] MANO-16 joints, base first
_COLUMNS = (3 * (_CHAINS[:, :, None] - 1) + torch.arange(3)).flatten(1)  # [5, 9] of the 45 angles
_BACK = torch.argsort(_COLUMNS.flatten())  # [45] from the order of fingers
# Which of a finger's three joints move its four points.
_MOVES = torch.tensor([[1.0, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]], dtype=torch.float64)
_FLOOR = 1e-9  # of the damping, times the largest number on the diagonal


@dataclass(frozen=True)
class PointPull:
    """What some evidence says about the 21 points of N frames: half a gradient and a Gauss-Newton weight a point."""

    force: Tensor  # [N, 21, 3]
    weight: Tensor  # [N, 21, 3, 3]


@dataclass(frozen=True)
class PoseEquations:
    """J'WJ and J'Wr of N frames over turn, place and origin (the wrist, 9 unknowns) and nine angles a finger."""

    fingers: Tensor  # [N, 5, 9, 9]
    border: Tensor  # [N, 5, 9, 9] angles (rows) by wrist
    wrist: Tensor  # [N, 9, 9]
    g_fingers: Tensor  # [N, 5, 9]
    g_wrist: Tensor  # [N, 9]

    def step(self, damping: Tensor) -> Tensor:
        """Return the step [N, 54] (turn, place, origin, 45 angles) of (H + damping [N] times its diagonal) x = -g."""
        diagonals = [part.diagonal(dim1=-2, dim2=-1) for part in (self.fingers, self.wrist)]
        floor = _FLOOR * torch.maximum(diagonals[0].amax((1, 2)), diagonals[1].amax(1))
        fingers, wrist = (
            part + torch.diag_embed(scale * diagonal + least)
            for part, diagonal, scale, least in (
                (self.fingers, diagonals[0], damping[:, None, None], floor[:, None, None]),
                (self.wrist, diagonals[1], damping[:, None], floor[:, None]),
            )
        )
        lower = torch.linalg.cholesky(fingers)
        columns = torch.cat((self.border, self.g_fingers[..., None]), dim=-1)
        solved = torch.linalg.solve_triangular(lower, columns, upper=False)
        taken = solved.flatten(1, 2)
        taken = taken[..., :9].mT @ taken
        corner = torch.linalg.cholesky(wrist - taken[..., :9])
        by_wrist = -torch.cholesky_solve(self.g_wrist[..., None] - taken[..., 9:], corner)
        rest = -(solved[..., 9:] + solved[..., :9] @ by_wrist[:, None])
        angles = torch.linalg.solve_triangular(lower.mT, rest, upper=True)
        return torch.cat((by_wrist[..., 0], angles.flatten(1)[:, _BACK.to(angles.device)]), dim=-1)


def pose_equations(
    posed: PosedJoints, points: Tensor, angles: Tensor, spatial: PointPull, rays: PointPull | None, rules: Anatomy
) -> PoseEquations:
    """Set the equations up at poses of axis-angles [N, 45], whose points are [N, 21, 3].

    `spatial` pulls at the points where the landmarks' origin is 0, `rays` where the camera's is; the turn is a left
    perturbation about the wrist, the angles are added.
    """
    rays = rays or PointPull(torch.zeros_like(spatial.force), torch.zeros_like(spatial.weight))
    force, weight = spatial.force + rays.force, spatial.weight + rays.weight
    by_turn = hat(points - posed.positions[:, :1]).mT  # turn x arm
    moved = torch.cat((weight @ by_turn, rays.weight, spatial.weight), dim=-1)  # [N, 21, 3, 9]
    wrist, turned = points.new_zeros(len(points), 9, 9), by_turn.flatten(1, 2).mT
    wrist[:, :3] = turned @ moved.flatten(1, 2)
    wrist[:, 3:, :3] = wrist[:, :3, 3:].mT
    wrist[:, 3:6, 3:6], wrist[:, 6:, 6:] = rays.weight.sum(1), spatial.weight.sum(1)
    g_turn = (turned @ force.flatten(1)[..., None])[..., 0]
    g_wrist = torch.cat((g_turn, rays.force.sum(1), spatial.force.sum(1)), dim=-1)

    by_angles = _by_angles(posed, points, angles)  # [N, 5, 4, 3, 9]
    weight, moved, force = (part[:, 1:].unflatten(1, (5, 4)) for part in (weight, moved, force[..., None]))
    weighted = weight[..., :1] * by_angles[..., :1, :]
    for axis in (1, 2):  # sums of three are slow as products of many small matrices
        weighted.addcmul_(weight[..., axis : axis + 1], by_angles[..., axis : axis + 1, :])
    columns = torch.cat((weighted, moved, force), dim=-1).flatten(2, 3)
    found = by_angles.flatten(2, 3).mT @ columns
    gradient, hessian = _rules_by_finger(rules, angles)
    return PoseEquations(found[..., :9] + hessian, found[..., 9:18], wrist, found[..., 18] + gradient, g_wrist)


def _by_angles(posed: PosedJoints, points: Tensor, angles: Tensor) -> Tensor:
    """Return how each finger's points move with its angles, [N, 5, 4, 3, 9]."""
    chains = _CHAINS.to(points.device)
    turns = right_jacobian(angles.unflatten(-1, (15, 3)))[:, chains - 1]
    axes = (posed.rotations[:, chains] @ turns)[:, :, None]  # [N, 5, 1, 3 joints, 3, 3]
    levers = points[:, 1:].unflatten(1, (5, 4))[:, :, :, None] - posed.positions[:, chains][:, :, None]
    levers = (levers * _MOVES.to(points)[:, :, None])[..., None]  # [N, 5, 4, 3 joints, 3, 1]
    (ax, ay, az), (lx, ly, lz) = axes.unbind(-2), levers.unbind(-2)
    across = (ay * lz - az * ly, az * lx - ax * lz, ax * ly - ay * lx)
    return torch.stack(across, dim=3).flatten(4)


def _rules_by_finger(rules: Anatomy, angles: Tensor) -> tuple[Tensor, Tensor]:
    """Return half the gradient [N, 5, 9] and the Gauss-Newton matrix [N, 5, 9, 9] of the anatomy's cost."""
    columns = _COLUMNS.to(angles.device)
    gradient, active = rules.gradient_and_limits(angles)
    rows, axes = (part[columns[:, :, None], columns[:, None]] for part in (rules.rows.T @ rules.rows, rules.axes))
    return gradient[:, columns], rows + axes.mT @ (active[:, columns][..., None] * axes)
