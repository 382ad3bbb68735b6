"""Recordings of joint positions (Leap Motion, vision, our own npz) read into one record.

Separate from AMASS because these files hold joint positions and no rotations: `recording_to_hand_pose` finds those by
inverse kinematics.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.schemas import METERS, Fields
from hmpfit.geometry.rotations import exp
from hmpfit.hands.bone_lengths import fit_shape, robust_lengths, with_measured_bones
from hmpfit.hands.inverse_kinematics import IKSettings, Targets, solve_pose
from hmpfit.hands.joint_limits import REST_POSE
from hmpfit.hands.kinematics import Kinematics, landmark_points
from hmpfit.records import Bools, Floats
from hmpfit.skeleton import FINGERS, OPENPOSE_WRIST, openpose

log = logging.getLogger("hmpfit")

LEAP_SIDES = ("left", "right")
LEAP_POINTS = ("carp", "mcp", "pip", "dip", "tip")
# A Leap recording names no wrist: it is put where the metacarpals would meet, in shares of the knuckles' breadth from
# their middle: towards the wrist, towards the index side, towards the back of the hand. It is a guess; see `reliance`.
WRIST_FROM_KNUCKLES = (1.35, 0.0, 0.2)
WRIST_RELIANCE = 0.05
ASSUMED_FPS = 30.0
RATES_HZ = (0.1, 10_000.0)

# Shape hardly bends to the recording (a large spread of lengths): the bones are stretched to it one by one afterwards,
# so that little is left for the anatomy to decide.
LENGTHS_STD = 0.3
RECORDED = IKSettings(points_std_m=0.002, anatomy_strength=0.1)


@dataclass(frozen=True)
class JointMotion:
    """One hand's joints over time, in meters and any right-handed axes; OpenPose order, NaN where not valid."""

    name: str
    joints_m: Floats  # [T, 21, 3]
    valid: Bools  # [T]
    times_s: Floats  # [T] strictly increasing
    is_right: bool
    confidence: Floats  # [T] 0..1 from the device; 1 where it gives none
    reliance: Floats  # [21] 1 for a measured joint, less for one that the reader had to guess

    @property
    def fps(self) -> float:
        """Frames per second, from the median step."""
        return float(1 / np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else ASSUMED_FPS


@dataclass(frozen=True)
class PoseMotion:
    """Finger poses of one hand in right-hand form (a left hand is mirrored), evenly timed."""

    name: str
    hand_pose: Floats  # [T, 15, 3] float32 absolute axis-angle; relaxed pose where not valid
    valid: Bools  # [T]
    fps: float
    is_right: bool  # the side that was recorded
    residual_mm: Floats  # [T] mean distance of the posed joints to the recorded ones at the hand's own scale


def read_motion(path: str | Path) -> tuple[JointMotion, ...]:
    """Read a recording of joint positions, one record per hand that it holds.

    Layouts, both npz: Leap (`joints_mm` [T, 2, 5, 5, 3], `confidence`, `timestamp_us`; NaN or 0 where absent) and plain
    (`joints_m` [T, 21, 3] in OpenPose order, `fps`, `is_right`; or [2, T, 21, 3], left hand first). Raises InputError
    for anything else.
    """
    path = Path(path)
    try:
        arrays = read_npz(path)
    except UnreadableFileError as error:
        raise InputError(f"{path} is not a readable npz file: {error.reason}.") from None
    stored = Fields(arrays, path, "a recording")
    if "joints_mm" in arrays:
        return _leap(path, stored)
    if "joints_m" in arrays:
        return _plain(path, stored)
    raise InputError(
        f"{path} holds no joint motion: it needs 'joints_m' [T, 21, 3] with 'fps' and 'is_right', or the Leap layout "
        f"'joints_mm' [T, 2, 5, 5, 3] with 'timestamp_us'; found: {', '.join(sorted(arrays)) or 'nothing'}."
    )


def _plain(path: Path, stored: Fields) -> tuple[JointMotion, ...]:
    """Read one hand [T, 21, 3], or a left and a right one [2, T, 21, 3]."""
    found = stored.any_array("joints_m").shape
    both = len(found) == 4
    if found[-2:] != (21, 3) or len(found) not in (3, 4) or (both and found[0] != len(LEAP_SIDES)):
        raise InputError(
            f"{path}: 'joints_m' must be [T, 21, 3], or [2, T, 21, 3] for a left and a right hand, in OpenPose order; "
            f"found {list(found)}."
        )
    shape = (2, "T", 21, 3) if both else ("T", 21, 3)
    joints = stored.array("joints_m", shape, low=-METERS, high=METERS, allow_nan=True)
    if 0 in joints.shape:
        raise stored.wrong("joints_m", "holds no frames")
    if "fps" not in stored:
        log.warning("%s says no fps; %g is assumed.", path, ASSUMED_FPS)
    fps = stored.number("fps", *RATES_HZ, default=ASSUMED_FPS)
    if both:
        pairs = zip(LEAP_SIDES, joints, strict=True)
        return tuple(_hand(f"{path.stem}:{side}", hand, fps, side == "right") for side, hand in pairs)
    if "is_right" not in stored:
        log.warning("%s does not say which hand it shows; a right hand is assumed.", path)
    return (_hand(path.stem, joints, fps, stored.number("is_right", 0, 1, default=1.0) > 0.5),)


def _hand(name: str, joints: Floats, fps: float, is_right: bool) -> JointMotion:
    valid = np.isfinite(joints).all(axis=(1, 2)) & (np.ptp(joints, axis=1).max(axis=-1) > 0)
    joints = np.where(valid[:, None, None], joints, np.nan)
    times, ones = np.arange(len(joints)) / fps, np.ones(len(joints))
    return JointMotion(name, joints, valid, times, is_right, ones, np.ones(21))


def _leap(path: Path, stored: Fields) -> tuple[JointMotion, ...]:
    if stored.any_array("joints_mm").shape[1:] != (2, 5, 5, 3) or "timestamp_us" not in stored:
        raise InputError(f"{path}: the Leap layout is 'joints_mm' [T, 2, 5, 5, 3] with 'timestamp_us' [T].")
    most_mm = METERS * 1e3
    positions = stored.array("joints_mm", ("T", 2, 5, 5, 3), low=-most_mm, high=most_mm, allow_nan=True) * 1e-3
    if not len(positions):
        raise stored.wrong("joints_mm", "holds no frames")
    times = stored.array("timestamp_us", ("T",), low=-1e18, high=1e18) * 1e-6
    confidence = np.ones(positions.shape[:2])
    if "confidence" in stored:
        confidence = stored.array("confidence", ("T", 2), low=-100, high=100, allow_nan=True)
    kept = np.concatenate(([True], times[1:] > np.maximum.accumulate(times)[:-1]))
    motions = []
    for side, name in enumerate(LEAP_SIDES):
        fingers = positions[kept, side, :, 1:]  # the carpal ends are mostly absent
        valid = np.isfinite(fingers).all(axis=(1, 2, 3)) & (np.abs(fingers).sum(axis=-1) > 0).all(axis=(1, 2))
        if not valid.any():
            continue
        joints = np.concatenate((np.zeros_like(fingers[:, :1, 0]), fingers.reshape(len(fingers), 20, 3)), axis=1)
        joints[:, OPENPOSE_WRIST] = _guessed_wrist(joints, is_right=name == "right")
        joints[~valid] = np.nan
        reliance = np.ones(21)
        reliance[OPENPOSE_WRIST] = WRIST_RELIANCE
        sure = np.where(valid, np.nan_to_num(confidence[kept, side], nan=1.0), 0.0)
        since = times[kept] - times[kept][0]
        motions.append(JointMotion(f"{path.stem}:{name}", joints, valid, since, name == "right", sure, reliance))
    if not motions:
        raise InputError(f"{path}: no frame of this Leap recording holds a whole hand.")
    return tuple(motions)


def _guessed_wrist(joints: Floats, is_right: bool) -> Floats:
    knuckles = joints[:, [openpose(f"{finger}1") for finger in FINGERS[1:]]]
    middle, across = knuckles.mean(axis=1), knuckles[:, 0] - knuckles[:, -1]
    breadth = np.linalg.norm(across, axis=-1, keepdims=True) + 1e-12
    across = across / breadth
    back = joints[:, openpose("thumb1")] - middle
    back = back - (back * across).sum(-1, keepdims=True) * across
    back = back / (np.linalg.norm(back, axis=-1, keepdims=True) + 1e-12)
    up = np.cross(across, back) * (1 if is_right else -1)
    toward_wrist, toward_index, toward_back = WRIST_FROM_KNUCKLES
    return middle + breadth * (toward_wrist * back + toward_index * across + toward_back * up)


def resample(
    motion: JointMotion, fps: float = 30.0, min_confidence: float = 0.3, max_gap_s: float = 0.1
) -> JointMotion:
    """Return the motion at an even rate, by linear interpolation between valid neighbors at most `max_gap_s` apart.

    A new frame is valid where both neighbors are valid and confident; the others are NaN.
    """
    good = np.flatnonzero(motion.valid & (motion.confidence >= min_confidence))
    count = int(np.floor((motion.times_s[-1] - motion.times_s[0]) * fps + 1e-6)) + 1
    times = motion.times_s[0] + np.arange(count) / fps
    joints, confidence = np.full((count, 21, 3), np.nan), np.zeros(count)
    valid = np.zeros(count, dtype=bool)
    if len(good):
        known = motion.times_s[good]
        after = np.clip(np.searchsorted(known, times - 1e-9), 0, len(good) - 1)
        before = np.where(np.abs(known[after] - times) < 1e-6, after, np.maximum(after - 1, 0))
        span = known[after] - known[before]
        inside = (times >= known[0] - 1e-6) & (times <= known[-1] + 1e-6)
        valid = inside & (span <= max(max_gap_s, 1.5 / motion.fps))
        share = np.where(span > 0, (times - known[before]) / np.where(span > 0, span, 1), 0.0)
        mixed = (1 - share)[:, None, None] * motion.joints_m[good[before]]
        mixed = mixed + share[:, None, None] * motion.joints_m[good[after]]
        joints[valid] = mixed[valid]
        confidence[valid] = np.minimum(motion.confidence[good[before]], motion.confidence[good[after]])[valid]
    return JointMotion(motion.name, joints, valid, times, motion.is_right, confidence, motion.reliance)


def recording_to_hand_pose(
    motion: JointMotion, kin: Kinematics, fps: float = 30.0, settings: IKSettings | None = None
) -> PoseMotion:
    """Find the finger poses of a recording at an even rate, whatever the recorded hand's size.

    The hand of `kin` is brought to the recorded proportions (one scale, its shape, then its palm and finger bones), so
    that what remains is rotation. `kin` should have no landmark offsets: recordings name joints.
    """
    settings = settings or RECORDED
    even = resample(motion, fps)
    rows = np.flatnonzero(even.valid)
    hand_pose = np.tile(REST_POSE, (len(even.valid), 1, 1))
    residual = np.full(len(even.valid), np.nan)
    if len(rows):
        x = np.array([1.0 if motion.is_right else -1.0, 1.0, 1.0])
        points = torch.as_tensor(even.joints_m[rows] * x, dtype=kin.points.dtype)
        weights = torch.as_tensor(even.reliance, dtype=points.dtype).expand(len(rows), 21)
        measured = robust_lengths(points, (weights >= 0.5).to(points.dtype))
        shape = fit_shape(kin, measured, relative_std=LENGTHS_STD, free_scale=True)
        targets = Targets(points / shape.scale, weights)
        own = with_measured_bones(kin, shape.betas, targets.points_m, weights[0])
        solved = solve_pose(own, shape.betas, targets, settings)
        posed = landmark_points(own, solved.global_R, exp(solved.pose), shape.betas, solved.transl)
        distance = (posed - targets.points_m).norm(dim=-1) * weights
        residual[rows] = (distance.sum(-1) / weights.sum(-1)).numpy() * 1e3 * shape.scale
        hand_pose[rows] = solved.pose.numpy()
    return PoseMotion(motion.name, hand_pose.astype(np.float32), even.valid, fps, motion.is_right, residual)
