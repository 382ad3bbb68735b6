"""The record that every foreign file is read into, and its conversion into the clip's own camera.

Other systems assume their own focal length (5000 px, or 5000/256 of the longer side). A hand seen by such a camera is
moved so that its wrist keeps its pixel, its apparent size and the face that it turns to the camera.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.geometry import rotations
from hmpfit.geometry.cameras import rays, rotation_from_optical_axis
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.records import DETECTED, Bools, Camera, Floats, HandMotion, KeypointTracks

FRAMES_MOST = 500_000  # of a file: four hours and a half at 30 frames a second


@dataclass(frozen=True)
class ForeignMotion:
    """A motion in another system's camera; angles and positions of each side are that side's own (smplx's)."""

    system: str  # the system's usual name: "HaMeR", "PyMAF-X", ...
    global_orient: Floats  # [H, T, 3]
    hand_pose: Floats  # [H, T, 15, 3] absolute axis-angle
    betas: Floats  # [H, T, 10]
    transl: Floats | None  # [H, T, 3] meters; None: only root-relative, to be placed by keypoints
    is_right: Bools  # [H]
    seen: Bools  # [H, T]
    K: Floats | None = None  # [T, 3, 3] of its camera; None: the clip's own

    def part(self, first: int, frames: int) -> "ForeignMotion":
        """Return `frames` frames from `first` on; a motion of exactly that many frames is taken to be that part.

        Raises InputError when the file is too short.
        """
        have = self.global_orient.shape[1]
        if have == frames:
            return self
        if have < first + frames:
            raise InputError(
                f"The {self.system} file holds {have} frames, and the clip needs frames {first} to {first + frames}."
            )
        cut = slice(first, first + frames)
        return ForeignMotion(
            self.system,
            self.global_orient[:, cut],
            self.hand_pose[:, cut],
            self.betas[:, cut],
            None if self.transl is None else self.transl[:, cut],
            self.is_right,
            self.seen[:, cut],
            None if self.K is None else self.K[cut],
        )


def frame_count(frame: NDArray[np.integer]) -> int:
    """Return the number of frames that frame numbers [N] count. Raises InputError for numbers that no video has."""
    if frame.min() < 0 or frame.max() >= FRAMES_MOST:
        wrong = frame.min() if frame.min() < 0 else frame.max()
        raise InputError(f"The file has a frame number {wrong}; they must be from 0 to {FRAMES_MOST - 1}.")
    return int(frame.max()) + 1


def rows_by_frame(frame: NDArray[np.integer], right: Bools, frames: int) -> tuple[NDArray[np.int64], Bools]:
    """Sort detections [N] into one row per side: their index [H, frames] (-1 = none) and the sides [H].

    Where a side was detected twice in a frame the first one counts.
    """
    sides = [side for side in (True, False) if (right == side).any()]
    index = np.full((len(sides), frames), -1, np.int64)
    for row, side in enumerate(sides):
        for detection in reversed(np.flatnonzero(right == side)):
            index[row, frame[detection]] = detection
    return index, np.array(sides, dtype=bool)


def angles(rotation: Floats, joints: int) -> Floats:
    """Return axis-angle [N, joints, 3] of rotations given as matrices [..., 3, 3] or as axis-angle already.

    Raises InputError for other shapes.
    """
    values = np.asarray(rotation, dtype=np.float64)
    if values.size and values.size % (9 * joints) == 0 and values.shape[-2:] == (3, 3) and values.ndim >= 3:
        matrices = torch.as_tensor(values.reshape(-1, joints, 3, 3))
        return rotations.log(matrices).numpy()
    if values.size % (3 * joints) == 0:
        return values.reshape(-1, joints, 3)
    raise InputError(f"A rotation array of shape {values.shape} is neither {joints} matrices nor {joints} angles.")


def into_camera(
    foreign: ForeignMotion, camera: Camera, models: HandModels, tracks: KeypointTracks | None
) -> HandMotion:
    """Return the motion in the clip's camera; unseen frames hold zeros and status 0.

    Raises InputError when the file gives no position and there are no keypoints to place the hands by.
    """
    weight = foreign.seen[..., None].astype(float)
    betas = (foreign.betas * weight).sum(1) / np.maximum(weight.sum(1), 1)
    transl = np.zeros(foreign.global_orient.shape) if foreign.transl is None else foreign.transl
    motion = HandMotion(
        global_orient=np.where(foreign.seen[..., None], foreign.global_orient, 0.0),
        hand_pose=np.where(foreign.seen[..., None, None], foreign.hand_pose, 0.0),
        transl=np.where(foreign.seen[..., None], transl, 0.0),
        betas=betas,
        is_right=foreign.is_right,
        status=np.where(foreign.seen, DETECTED, 0).astype(np.uint8),
    )
    if foreign.transl is None:
        return place_by_keypoints(motion, camera, models, tracks, foreign.system)
    return motion if foreign.K is None else _between_cameras(motion, foreign.K, camera, models)


LEAST_COSINE = 0.17  # of a ray's angle from the optical axis: x / z has no bound


def place_by_keypoints(
    motion: HandMotion, camera: Camera, models: HandModels, tracks: KeypointTracks | None, system: str
) -> HandMotion:
    """Give every detected frame the translation that brings its joints onto the 2D keypoints of its side.

    Weighted linear least squares on x/z and y/z (the points' depth multiplied out), with the confidences as weights.
    Frames without keypoints lose their status. Raises InputError without keypoints of any of its sides.
    """
    if tracks is None or not np.isin(motion.is_right, tracks.is_right).any():
        raise InputError(
            f"The {system} file says no position in the image, and no keypoints of its hands were found to place them "
            "by; check --hands, or give a file with boxes or camera translations."
        )
    joints = pose_hands(models, motion).joints
    transl, status = motion.transl.copy(), motion.status.copy()
    K = np.broadcast_to(camera.K, (joints.shape[1], 3, 3))
    for hand, is_right in enumerate(motion.is_right):
        nth = int((motion.is_right[:hand] == is_right).sum())  # only their order distinguishes hands of a side
        same = np.flatnonzero(tracks.is_right == is_right)[nth : nth + 1]
        known = tracks.seen[same[0]] & (status[hand] == DETECTED) if len(same) else np.zeros(len(K), bool)
        for frame in np.flatnonzero(known):
            xy, weights = tracks.xy_px[same[0], frame], tracks.confidence[same[0], frame]
            transl[hand, frame] += _shift_onto(joints[hand, frame], xy, weights, K[frame], camera.distortion)
        status[hand, ~known] = 0
    return replace(motion, transl=transl, status=status)


def _shift_onto(points: Floats, xy_px: Floats, weights: Floats, K: Floats, distortion: Floats | None) -> Floats:
    """Solve (P + t) ~ ray for t [3]: x (Pz + tz) = Px + tx and the same for y, weighted."""
    known = np.isfinite(xy_px).all(-1) & (weights > 0)
    ray = rays(xy_px[known], K, distortion)
    ray = ray / np.maximum(ray[:, 2:], LEAST_COSINE)
    w = np.sqrt(weights[known])
    rows, sides = [], []
    for axis in (0, 1):
        row = np.zeros((len(w), 3))
        row[:, axis], row[:, 2] = 1.0, -ray[:, axis]
        rows.append(row * w[:, None])
        sides.append((ray[:, axis] * points[known, 2] - points[known, axis]) * w)
    found: Floats = np.linalg.lstsq(np.concatenate(rows), np.concatenate(sides), rcond=None)[0]
    return found


def _between_cameras(motion: HandMotion, K_own: Floats, camera: Camera, models: HandModels) -> HandMotion:
    frames = motion.transl.shape[1]
    K, own = np.broadcast_to(camera.K, (frames, 3, 3)), np.broadcast_to(K_own, (frames, 3, 3))
    wrist = pose_hands(models, motion).joints[:, :, 0]
    depth = np.where(wrist[..., 2] > 0, wrist[..., 2], 1.0)
    pixel = np.einsum("tij,htj->hti", own, wrist / depth[..., None])[..., :2]
    new_depth = depth * (K[:, 0, 0] + K[:, 1, 1]) / (own[:, 0, 0] + own[:, 1, 1])
    moved, turned = np.zeros_like(wrist), np.zeros_like(motion.global_orient)
    for hand in range(len(wrist)):
        for frame in np.flatnonzero(motion.status[hand] == DETECTED):
            there = rays(pixel[hand, frame], own[frame])
            here = rays(pixel[hand, frame], K[frame], camera.distortion)
            moved[hand, frame] = here / here[2] * new_depth[hand, frame]
            turn = rotation_from_optical_axis(here) @ rotation_from_optical_axis(there).T
            orient = rotations.exp(torch.as_tensor(motion.global_orient[hand, frame]))
            turned[hand, frame] = rotations.log(torch.as_tensor(turn) @ orient).numpy()
    transl = np.where((motion.status == DETECTED)[..., None], motion.transl + moved - wrist, 0.0)
    return replace(motion, global_orient=turned, transl=transl)
