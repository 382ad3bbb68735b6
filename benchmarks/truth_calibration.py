"""Print how well the landmarks of two calibrated views determine the depth of a hand beside its size.

    python benchmarks/truth_calibration.py ../shared/inputs/truth [--cameras stereo_fist/cam0,stereo_fist/cam1]
        [--out DIR]

Real truth is triangulated with the poses of its cameras. Here MediaPipe's wrist and knuckles of both views, frames that
both saw, are triangulated with the truth's own poses, then with the second camera's turn and direction free (Huber
cost; intrinsics as given, and the distance between the cameras, which is the unit). Printed for both cameras: the
median of wrist depth over palm length beside the truth's, and its standard deviation when twelve stretches of the clip
are drawn with replacement. No depth can be judged finer than that against such a truth. Run folders stay in --out.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import OptimizeResult, least_squares
from scipy.spatial.transform import Rotation

from hmpfit.batch import of_job, sequence_job
from hmpfit.datasets.opening import open_dataset
from hmpfit.geometry.cameras import project_array, rays
from hmpfit.interfaces.dataset import Sequence
from hmpfit.pipeline import keypoints_in_folder
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import Floats
from hmpfit.skeleton import OPENPOSE_WRIST, openpose

PALM = [OPENPOSE_WRIST, *(openpose(f"{finger}1") for finger in ("index", "middle", "ring", "pinky"))]
MIDDLE = PALM.index(openpose("middle1"))
NEAR_PX, HUBER_PX = 20.0, 3.0  # of the projected truth, in the median: the hand meant; of the cost
STRETCHES, DRAWS = 12, 30


def palm_landmarks(sequence: Sequence, out: Path) -> Floats:
    """Return MediaPipe's palm landmarks [T, 5, 2] of a clip's first true hand, pixels, NaN where not seen."""
    folder = out / sequence.name
    job = sequence_job(sequence, sequence.name, folder, out)
    settings = replace(of_job(job, resolve_settings(camera_motion="static")), workers=1)
    tracks, _ = keypoints_in_folder(job.video, folder, settings)
    true = project_array(sequence.truth().joints_m[0], sequence.camera.K[0], sequence.camera.distortion)
    xy = np.where(tracks.seen[..., None, None], tracks.xy_px, np.nan)[:, :, PALM]
    far = np.linalg.norm(xy - true[:, PALM], axis=-1).mean(-1)  # [H, T]
    far = np.where(np.isfinite(far), far, np.inf)
    best = far.argmin(axis=0)
    frames = np.arange(xy.shape[1])
    return np.where(far[best, frames][:, None, None] < NEAR_PX, xy[best, frames], np.nan)


def triangulate(directions: Floats, turn: Floats, move: Floats) -> tuple[Floats, Floats]:
    """Return points [T, 5, 3] in the axes of both cameras, half-way between the rays [2, T, 5, 3] (third number 1)."""
    first, second = directions[0], directions[1] @ turn
    center = -turn.T @ move
    aa, bb, ab = (first**2).sum(-1), (second**2).sum(-1), (first * second).sum(-1)
    ac, bc = first @ center, second @ center
    scale = aa * bb - ab**2
    one = first * ((ac * bb - bc * ab) / scale)[..., None]
    other = center + second * ((ac * ab - bc * aa) / scale)[..., None]
    points = (one + other) / 2
    return points, points @ turn.T + move


def moved(change: Floats, turn: Floats, move: Floats) -> tuple[Floats, Floats]:
    """Return a relative pose after a change [5]: three angles, and two across the way between the cameras."""
    across = np.linalg.svd(move[None])[2][1:]
    way = move + np.linalg.norm(move) * change[3:] @ across
    return Rotation.from_rotvec(change[:3]).as_matrix() @ turn, way * np.linalg.norm(move) / np.linalg.norm(way)


def errors_px(directions: Floats, turn: Floats, move: Floats, focal_px: Floats) -> Floats:
    """Return the reprojection errors of the triangulated points, flat."""
    views = triangulate(directions, turn, move)
    return np.concatenate(
        [((v[..., :2] / v[..., 2:] - d[..., :2]) * f).ravel() for v, d, f in zip(views, directions, focal_px)]
    )


def free_pose(directions: Floats, turn: Floats, move: Floats, focal_px: Floats) -> OptimizeResult:
    """Return the relative pose that the landmarks prefer, as a change [5] of the given one."""

    def cost(change: Floats) -> Floats:
        return errors_px(directions, *moved(change, turn, move), focal_px)

    return least_squares(cost, np.zeros(5), loss="huber", f_scale=HUBER_PX)


def depth_over_palm(directions: Floats, turn: Floats, move: Floats) -> Floats:
    """Return the wrist's depth in both cameras in lengths of the palm [2], medians over the frames."""
    views = triangulate(directions, turn, move)
    palm = np.median(np.linalg.norm(views[0][:, MIDDLE] - views[0][:, 0], axis=-1))
    return np.array([np.median(view[:, 0, 2]) for view in views]) / palm


def main() -> None:
    """Measure one pair of cameras and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--cameras", default="stereo_fist/cam0,stereo_fist/cam1")
    parser.add_argument("--out", type=Path, default=Path("truth_calibration_out"))
    arguments = parser.parse_args()
    every = {sequence.name: sequence for sequence in open_dataset(f"truth:{arguments.truth}").sequences}
    pair = [every[name] for name in arguments.cameras.split(",")]
    xy = [palm_landmarks(sequence, arguments.out) for sequence in pair]
    joints = [sequence.truth().joints_m[0] for sequence in pair]
    both = np.isfinite(np.concatenate([*xy, *(one[:, PALM] for one in joints)], axis=-1)).all((1, 2))
    found = [rays(seen[both], one.camera.K[0], one.camera.distortion) for one, seen in zip(pair, xy)]
    directions = np.stack([ray / ray[..., 2:] for ray in found])
    focal_px = np.array([one.camera.K[0, 0, 0] for one in pair])
    files = [np.load(arguments.truth / f"{one.name}.truth.npz") for one in pair]
    turn = files[1]["R"] @ files[0]["R"].T
    move = files[1]["t"] - turn @ files[0]["t"]
    palm = np.median(np.linalg.norm(np.diff(joints[0][both][:, [0, PALM[MIDDLE]]], axis=1)[:, 0], axis=-1))
    true = np.array([np.median(one[both][:, 0, 2]) for one in joints]) / palm
    print(f"{int(both.sum())} frames; cameras {np.linalg.norm(move):.2f} m apart")
    given = np.median(np.abs(errors_px(directions, turn, move, focal_px)))
    ratio = depth_over_palm(directions, turn, move) / true
    print(f"poses as given: depth over the truth's {_text(ratio)}, {given:.2f} px")
    best = free_pose(directions, turn, move, focal_px)
    pose = moved(best.x, turn, move)
    left = np.median(np.abs(errors_px(directions, *pose, focal_px)))
    print(f"second pose free: {_text(depth_over_palm(directions, *pose) / true)}, {left:.2f} px, turned "
          f"{np.rad2deg(np.linalg.norm(best.x[:3])):.1f} degrees")  # fmt: skip
    generator = np.random.default_rng(0)
    stretches = np.array_split(np.arange(directions.shape[1]), STRETCHES)
    ratios = []
    for _ in range(DRAWS):
        rows = np.concatenate([stretches[i] for i in generator.integers(0, STRETCHES, STRETCHES)])
        drawn = directions[:, rows]
        pose = moved(free_pose(drawn, turn, move, focal_px).x, turn, move)
        ratios.append(depth_over_palm(drawn, *pose) / true)
    print(f"stretches drawn anew: mean {_text(np.mean(ratios, axis=0))},")
    print(f"standard deviation {_text(np.std(ratios, axis=0))}")


def _text(values: Floats) -> str:
    return " ".join(f"{value:.3f}" for value in values)


if __name__ == "__main__":
    main()
