"""Retarget fingertips to a robot hand: where it is mounted on the wrist, and its joint angles frame by frame.

Bounded least squares over all frames at once, written here because the solver of dexi-rs, whose robot models are used,
stopped up to 20 mm short of what the joints can reach. The mount (turn, offset, scale between the human's wrist and the
robot's base, one for the clip) is part of the solution.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.exporters.urdf import RobotKinematics
from hmpfit.records import Floats

# The robots' URDFs stand with their fingers along z, the palm facing x and the thumb towards y (right hands) or -y.
_ROBOT_FROM_WRIST = {
    True: np.array([[0.0, -1, 0], [0, 0, 1], [-1, 0, 0]]),
    False: np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]),
}
_SCALES = (0.8, 0.9, 1.0, 1.1, 1.25, 1.5)
_ROUNDS = 40  # of solving the joints and moving the mount by turns
_STEPS, _LAST_STEPS = 6, 40  # of the joints' solver, per round and at the end
_NORM = 4  # of the fingertips' errors that place the mount: the worst count most
_FLOOR_M = 2e-3  # added to errors before they become weights
_DAMPING = 1e-5  # meters squared per radian squared
_REST_WEIGHT = 1e-3  # meters per radian: the pull that decides what fingertips leave open
_REST_SHARE = 0.3  # of the way from a joint's lower to its upper limit
_PLACED_BY = 60  # frames that the mount and the scale are fitted on


@dataclass(frozen=True)
class Mount:
    """Robot base from human wrist: x_robot = scale * rotation @ x_wrist + offset_m."""

    scale: float
    rotation: Floats  # [3, 3]
    offset_m: Floats  # [3]

    def to_robot(self, points: Floats) -> Floats:
        """Return points [..., 3] of the wrist's frame as targets in the robot base's."""
        return self.scale * points @ self.rotation.T + self.offset_m


@dataclass(frozen=True)
class Retargeted:
    """Joint angles [T, N] of the independent joints and fingertips [T, K, 3] in the robot's base."""

    angles: Floats
    tips: Floats
    mount: Mount


def retarget(robot: RobotKinematics, tips: Floats, is_right: bool) -> Retargeted:
    """Return the motion whose fingertips follow `tips` [T, K, 3], given in the wrist's frame, meters.

    The scale with the least error relative to itself wins; joints stay within their limits.
    """
    some = tips[:: max(1, len(tips) // _PLACED_BY)]
    starts = [_first_mount(robot, some, scale, is_right) for scale in _SCALES]
    mount = min((_improve(robot, some, start) for start in starts), key=lambda pair: pair[0])[1]
    found = _at_mount(robot, tips, mount)
    # Frames that the few above do not represent: those that the mount suits least are refined too.
    worst = np.argsort(-_errors_m(found, tips).max(axis=1), kind="stable")[:_PLACED_BY]
    again = _at_mount(robot, tips, _improve(robot, np.concatenate((some, tips[worst])), mount)[1])
    return min(found, again, key=lambda one: float(_errors_m(one, tips).max()))


def _at_mount(robot: RobotKinematics, tips: Floats, mount: Mount) -> Retargeted:
    angles = robot_angles(robot, mount.to_robot(tips), None, _LAST_STEPS)
    return Retargeted(angles, robot.positions(angles)[0], mount)


def _errors_m(found: Retargeted, tips: Floats) -> Floats:
    away: Floats = np.linalg.norm(found.tips - found.mount.to_robot(tips), axis=-1)
    return away


def robot_angles(robot: RobotKinematics, targets: Floats, start: Floats | None, steps: int) -> Floats:
    """Return angles [T, N] that bring the links to targets [T, K, 3], by projected Levenberg-Marquardt steps."""
    low, high = robot.limits()
    rest = low + _REST_SHARE * (high - low)
    angles = np.tile(rest, (len(targets), 1)) if start is None else start
    damping = np.full(len(targets), _DAMPING)
    places, slopes = robot.positions(angles)
    cost = _cost(places, targets, angles - rest)
    for _ in range(steps):
        J = slopes.reshape(len(targets), -1, len(low))
        gradient = np.einsum("trn,tr->tn", J, (places - targets).reshape(len(targets), -1))
        gradient += _REST_WEIGHT**2 * (angles - rest)
        stuck = ((angles <= low) & (gradient > 0)) | ((angles >= high) & (gradient < 0))
        free = ~stuck
        H = np.einsum("tri,trj->tij", J, J) * (free[:, :, None] & free[:, None, :])
        H += (_REST_WEIGHT**2 + damping)[:, None, None] * np.eye(len(low))
        step = -np.linalg.solve(H, (gradient * free)[..., None])[..., 0]
        tried = np.clip(angles + step, low, high)
        new_places, new_slopes = robot.positions(tried)
        new_cost = _cost(new_places, targets, tried - rest)
        better = new_cost < cost
        angles, cost = np.where(better[:, None], tried, angles), np.where(better, new_cost, cost)
        places = np.where(better[:, None, None], new_places, places)
        slopes = np.where(better[:, None, None, None], new_slopes, slopes)
        damping = np.where(better, damping / 3, damping * 4)
    return angles


def _cost(places: Floats, targets: Floats, from_rest: Floats) -> Floats:
    fit: Floats = ((places - targets) ** 2).sum((1, 2)) + _REST_WEIGHT**2 * (from_rest**2).sum(1)
    return fit


def _first_mount(robot: RobotKinematics, tips: Floats, scale: float, is_right: bool) -> Mount:
    """Return the mount that lays the fingertips' middle on that of the robot at rest."""
    turn = _ROBOT_FROM_WRIST[is_right]
    reached = robot.positions(_rest(robot, 1))[0]
    return Mount(scale, turn, reached.mean((0, 1)) - scale * turn @ tips.mean((0, 1)))


def _rest(robot: RobotKinematics, frames: int) -> Floats:
    low, high = robot.limits()
    return np.tile(low + _REST_SHARE * (high - low), (frames, 1))


def _improve(robot: RobotKinematics, tips: Floats, mount: Mount) -> tuple[float, Mount]:
    """Return the error, relative to the scale, and the mount at which a motion is followed best at a mount's scale."""
    angles, scale = _rest(robot, len(tips)), mount.scale
    for _ in range(_ROUNDS):
        angles = robot_angles(robot, mount.to_robot(tips), angles, _STEPS)
        reached = robot.positions(angles)[0]
        error = np.linalg.norm(reached - mount.to_robot(tips), axis=-1)
        mount = _align(tips, reached, scale, (error + _FLOOR_M) ** (_NORM - 2))
    angles = robot_angles(robot, mount.to_robot(tips), angles, _STEPS)
    error = np.linalg.norm(robot.positions(angles)[0] - mount.to_robot(tips), axis=-1)
    return float((error**_NORM).mean() ** (1 / _NORM) / scale), mount


def _align(points: Floats, reached: Floats, scale: float, weights: Floats) -> Mount:
    """Return the turn and offset that bring scaled points [..., 3] nearest to those reached [..., 3] (Kabsch)."""
    points, reached, shares = points.reshape(-1, 3), reached.reshape(-1, 3), (weights / weights.sum()).reshape(-1)
    a, b = shares @ points, shares @ reached
    rotation = Rotation.align_vectors(reached - b, scale * (points - a), weights=shares)[0].as_matrix()
    return Mount(scale, rotation, b - scale * rotation @ a)
