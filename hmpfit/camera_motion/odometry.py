"""The path of a moving camera, up to scale: two frames with parallax, then frame by frame, then bundle adjustment.

The usual incremental way (Hartley and Zisserman 2003, chapters 9 to 12): OpenCV finds the first pair's essential matrix
and every further key frame's pose from known points (PnP), `bundle_adjustment` adjusts what was found.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hmpfit.camera_motion.bundle_adjustment import Observations, adjust, point_depths, pose_step, residuals
from hmpfit.camera_motion.point_tracks import PointTracks, common_rows
from hmpfit.camera_motion.two_views import rotation_between, rotation_errors
from hmpfit.geometry.rigid_transforms import interpolate, inverse, rigid
from hmpfit.records import Floats

_KEY_PX, _KEY_S = 20.0, (0.09, 0.35)  # a key frame after so much motion, and least and most seconds
_MOST_KEYS = 120  # of one adjustment
_FEWEST = 20  # points for a pose
_OUTLIER_PX, _HUBER_PX = 3.0, 0.5
_LEAST_ANGLE = np.deg2rad(0.7)  # between the rays that make a point
_LOCAL, _ADJUST_EVERY = 10, 2  # key frames of a local adjustment; one after so many new key frames
_STARTS, _PAIRS = 10, 6  # key frames that are tried as the first of the first pair; pairs that are tried
LOST_SHARE = 0.1  # of the frames without a pose of their own: more is no path
_SEED = 5

_Pair = tuple[int, int, Floats, Floats]  # key frames, and the second's rotation and translation from the first


@dataclass
class _Map:
    """What has been found so far: key frames' poses (camera from world) and points."""

    rotation: Floats  # [T, 3, 3]
    translation: Floats  # [T, 3]
    posed: NDArray[np.bool_]  # [T]
    points: Floats  # [P, 3]
    known: NDArray[np.bool_]  # [P]
    bad: NDArray[np.bool_]  # [N] sightings that contradict the rest
    keys: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class CameraMap:
    """A camera path and the static points it was seen by, in units of the map: the points' median depth is 1."""

    map_from_camera: Floats  # [T, 4, 4] the first frame's is the identity
    points: Floats  # [P, 3] of the map
    frames_lost: int  # frames without a pose of their own, filled from their neighbors
    reprojection_px: float  # median, at the working size


def camera_map(tracks: PointTracks, xy: Floats, times_s: Floats, focal_px: float) -> CameraMap | None:
    """Return the camera's path from points followed through the clip; None where it cannot be found.

    `xy` [N, 2] are the sightings normalized, `focal_px` the focal length at the working size.
    """
    keys = map_key_frames(tracks, xy, times_s, focal_px)
    best: CameraMap | None = None
    for start in _first_pairs(tracks, xy, keys, focal_px):
        found = _map_from(start, tracks, xy, times_s, keys, focal_px)
        if found is not None and (best is None or found.frames_lost < best.frames_lost):
            best = found
        if best is not None and best.frames_lost <= LOST_SHARE * tracks.frames:
            break
    return best


def _map_from(
    start: _Pair, tracks: PointTracks, xy: Floats, times_s: Floats, keys: list[int], focal_px: float
) -> CameraMap | None:
    """Return the path that grows from a first pair of key frames."""
    frames = tracks.frames
    state = _Map(
        np.repeat(np.eye(3)[None], frames, axis=0), np.zeros((frames, 3)), np.zeros(frames, dtype=bool),
        np.zeros((tracks.points, 3)), np.zeros(tracks.points, dtype=bool), np.zeros(len(tracks.frame), dtype=bool),
    )  # fmt: skip
    a, b, rotation, translation = start
    state.posed[[a, b]], state.rotation[b], state.translation[b] = True, rotation, translation
    state.keys = [a, b]
    _add_points(state, tracks, xy, [a, b], focal_px)
    inside = [key for key in keys if a < key < b]
    for count, key in enumerate(inside + [key for key in keys if key > b] + [key for key in reversed(keys) if key < a]):
        if _pose(state, tracks, xy, key, focal_px):
            state.keys.append(key)
            near = sorted(state.keys, key=lambda other: abs(other - key))[:_LOCAL]
            _add_points(state, tracks, xy, near, focal_px)
            if count % _ADJUST_EVERY == 0:
                _adjust_keys(state, tracks, xy, near, focal_px, steps=4)
    for _ in range(2):
        every = sorted(state.keys)
        some = [every[i] for i in np.linspace(0, len(every) - 1, min(len(every), _MOST_KEYS)).astype(int)]
        _add_points(state, tracks, xy, every, focal_px)
        _adjust_keys(state, tracks, xy, some, focal_px, steps=20)
    _pose_others(state, tracks, xy, focal_px)
    return _finished(state, tracks, xy, times_s, focal_px)


def map_key_frames(tracks: PointTracks, xy: Floats, times_s: Floats, focal_px: float) -> list[int]:
    """Return the frames to make the map from: the first, the last, and one after enough motion or time."""
    keys = [0]
    for frame in range(1, tracks.frames):
        here, there = common_rows(tracks, keys[-1], frame)
        moved = np.median(np.linalg.norm(xy[here] - xy[there], axis=1)) * focal_px if len(here) else np.inf
        passed_s = times_s[frame] - times_s[keys[-1]]
        if (moved > _KEY_PX and passed_s > _KEY_S[0]) or passed_s > _KEY_S[1] or len(here) < 4 * _FEWEST:
            keys.append(frame)
    return keys if keys[-1] == tracks.frames - 1 else [*keys, tracks.frames - 1]


def _first_pairs(tracks: PointTracks, xy: Floats, keys: list[int], focal_px: float) -> list[_Pair]:
    """Return pairs of key frames with much parallax and many points, and the second's pose from the first.

    Those that most points agree with come first: from few pixels of parallax the essential matrix may be a wrong one.
    """
    import cv2

    scored = []
    step = -(-len(keys) // _STARTS)
    for start in range(0, len(keys), step):
        a = keys[start]
        for b in keys[start + 1 : start + 2 * _STARTS : 2]:
            here, there = common_rows(tracks, a, b)
            if len(here) < 2 * _FEWEST:
                break
            turn = rotation_between(xy[here], xy[there], 2.0 / focal_px)
            parallax = float(np.median(rotation_errors(turn, xy[here], xy[there]))) * focal_px
            scored.append((min(parallax, 15.0) * np.sqrt(min(len(here), 200)), a, b))
    pairs: list[tuple[int, _Pair]] = []
    for _, a, b in sorted(scored, reverse=True)[:_PAIRS]:
        here, there = common_rows(tracks, a, b)
        cv2.setRNGSeed(_SEED)
        essential, inlier = cv2.findEssentialMat(
            xy[here], xy[there], np.eye(3), method=cv2.RANSAC, prob=0.9999, threshold=1.0 / focal_px
        )
        if essential is None or essential.shape != (3, 3):
            continue
        count, rotation, translation, _ = cv2.recoverPose(essential, xy[here], xy[there], np.eye(3), mask=inlier)
        if count >= _FEWEST:
            pose = np.asarray(rotation, np.float64), np.asarray(translation[:, 0], np.float64)
            pairs.append((count, (a, b, *pose)))
    return [pair for _, pair in sorted(pairs, key=lambda one: -one[0])]


def _sightings(state: _Map, tracks: PointTracks, xy: Floats, frames: list[int], known: bool) -> NDArray[np.int64]:
    """Return rows of sightings in some frames, not bad, of points that are known (or not)."""
    rows = np.concatenate([np.arange(part.start, part.stop) for part in map(tracks.of_frame, frames)])
    return rows[(state.known[tracks.point[rows]] == known) & ~state.bad[rows]]


def _add_points(state: _Map, tracks: PointTracks, xy: Floats, frames: list[int], focal_px: float) -> None:
    """Make the points that two or more of these frames see from rays far enough apart, by linear least squares."""
    rows = _sightings(state, tracks, xy, frames, known=False)
    if not len(rows):
        return
    ids, at = np.unique(tracks.point[rows], return_inverse=True)
    pose = tracks.frame[rows]
    rotation, translation = state.rotation[pose], state.translation[pose]
    center = -np.einsum("nji,nj->ni", rotation, translation)
    ray = np.einsum("nji,nj->ni", rotation, np.concatenate((xy[rows], np.ones((len(rows), 1))), axis=1))
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    across = np.eye(3) - ray[:, :, None] * ray[:, None, :]
    count = np.bincount(at, minlength=len(ids))
    matrix = np.zeros((len(ids), 3, 3))
    right, mean = np.zeros((len(ids), 3)), np.zeros((len(ids), 3))
    np.add.at(matrix, at, across)
    np.add.at(right, at, np.einsum("nij,nj->ni", across, center))
    np.add.at(mean, at, ray)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    apart = np.zeros(len(ids))
    np.maximum.at(apart, at, np.arccos(np.clip((ray * mean[at]).sum(1), -1, 1)))
    made = (count >= 2) & (2 * apart > _LEAST_ANGLE)
    points = np.zeros((len(ids), 3))
    points[made] = np.linalg.solve(matrix[made], right[made][..., None])[..., 0]
    seen = Observations(pose, at, xy[rows])
    error = np.linalg.norm(residuals(state.rotation, state.translation, points, seen), axis=1) * focal_px
    wrong = (error > _OUTLIER_PX) | (point_depths(state.rotation, state.translation, points, seen) < 1e-2)
    mostly_wrong = np.bincount(at, wrong, minlength=len(ids)) > 0.34 * count
    made &= ~mostly_wrong
    state.points[ids[made]], state.known[ids[made]] = points[made], True
    state.bad[rows[wrong & made[at]]] = True


def _pose(state: _Map, tracks: PointTracks, xy: Floats, frame: int, focal_px: float) -> bool:
    """Find a key frame's pose from known points; return whether it was found."""
    import cv2

    rows = _sightings(state, tracks, xy, [frame], known=True)
    if len(rows) < _FEWEST:
        return False
    near = min(state.keys, key=lambda other: abs(other - frame))
    turn, _ = cv2.Rodrigues(state.rotation[near])
    cv2.setRNGSeed(_SEED)
    found, turn, translation, inlier = cv2.solvePnPRansac(
        state.points[tracks.point[rows]], xy[rows], np.eye(3), np.zeros(4), turn,
        state.translation[near][:, None].copy(), useExtrinsicGuess=True, iterationsCount=200,
        reprojectionError=_OUTLIER_PX / focal_px, confidence=0.999,
    )  # fmt: skip
    if not found or inlier is None or len(inlier) < _FEWEST:
        return False
    state.rotation[frame], state.translation[frame] = cv2.Rodrigues(turn)[0], translation[:, 0]
    state.posed[frame] = True
    return True


def _adjust_keys(state: _Map, tracks: PointTracks, xy: Floats, frames: list[int], focal_px: float, steps: int) -> None:
    """Adjust some key frames and the points they see; other key frames that see these points hold them."""
    rows = _sightings(state, tracks, xy, frames, known=True)
    if not len(rows):
        return
    points = np.unique(tracks.point[rows])
    others = [key for key in state.keys if key not in set(frames)]
    if len(others) > 2 * _LOCAL:
        others = sorted(others, key=lambda other: min(abs(other - frame) for frame in frames))[: 2 * _LOCAL]
    if others:
        more = _sightings(state, tracks, xy, others, known=True)
        rows = np.concatenate((rows, more[np.isin(tracks.point[more], points)]))
    poses, pose = np.unique(tracks.frame[rows], return_inverse=True)
    points, point = np.unique(tracks.point[rows], return_inverse=True)
    free = np.isin(poses, frames)
    if not others:
        free[: min(1, len(free))] = False
    seen = Observations(pose, point, xy[rows])
    moved = adjust(
        state.rotation[poses], state.translation[poses], state.points[points], seen, free, _HUBER_PX / focal_px, steps
    )
    state.rotation[poses], state.translation[poses], state.points[points] = moved
    error = np.linalg.norm(residuals(*moved, seen), axis=1) * focal_px
    wrong = (error > _OUTLIER_PX) | (point_depths(*moved, seen) < 1e-2)
    state.bad[rows[wrong]] = True
    left = np.bincount(point, ~wrong, minlength=len(points))
    state.known[points[left < 2]] = False


def _pose_others(state: _Map, tracks: PointTracks, xy: Floats, focal_px: float) -> None:
    """Pose every frame between the key frames from the points of the map, all at once."""
    keys = np.array(sorted(state.keys))
    posed = rigid(state.rotation[keys], state.translation[keys])
    everywhere = inverse(interpolate(inverse(posed), keys.astype(float), np.arange(tracks.frames, dtype=float)))
    others = np.setdiff1d(np.arange(tracks.frames), keys)
    rows = _sightings(state, tracks, xy, others.tolist(), known=True) if len(others) else np.zeros(0, np.int64)
    state.rotation[others], state.translation[others] = everywhere[others, :3, :3], everywhere[others, :3, 3]
    for limit_px in (20.0, 2 * _OUTLIER_PX, _OUTLIER_PX):
        for _ in range(4):
            pose = tracks.frame[rows]
            seen = Observations(pose, tracks.point[rows], xy[rows])
            error = np.linalg.norm(residuals(state.rotation, state.translation, state.points, seen), axis=1) * focal_px
            good = error < limit_px
            enough = np.bincount(pose[good], minlength=tracks.frames) >= _FEWEST
            moved = pose_step(state.rotation, state.translation, state.points, seen.only(good), _HUBER_PX / focal_px)
            chosen = others[enough[others]]
            state.rotation[chosen], state.translation[chosen] = moved[0][chosen], moved[1][chosen]
    state.posed[others] = enough[others]


def _finished(state: _Map, tracks: PointTracks, xy: Floats, times_s: Floats, focal_px: float) -> CameraMap | None:
    """Fill lost frames, put the first frame at the origin and the median depth at 1."""
    good = np.flatnonzero(state.posed)
    if len(good) < 2 or state.known.sum() < _FEWEST:
        return None
    camera_from_map = rigid(state.rotation[good], state.translation[good])
    map_from_camera = interpolate(inverse(camera_from_map), times_s[good], times_s)
    rows = np.flatnonzero(state.known[tracks.point] & ~state.bad & state.posed[tracks.frame])
    seen = Observations(tracks.frame[rows], tracks.point[rows], xy[rows])
    unit = float(np.median(point_depths(state.rotation, state.translation, state.points, seen)))
    error = np.linalg.norm(residuals(state.rotation, state.translation, state.points, seen), axis=1) * focal_px
    to_first = inverse(map_from_camera[0])
    points = state.points[state.known] @ to_first[:3, :3].T + to_first[:3, 3]
    path = to_first @ map_from_camera
    path[:, :3, 3] /= unit
    return CameraMap(path, points / unit, tracks.frames - len(good), float(np.median(error)))
