"""Estimate where MediaPipe's landmarks lie on the hand model, and write hmpfit/hands/landmark_offsets.json.

    python benchmarks/calibrate_landmarks.py VIDEO... [--out FILE]

A detector's "wrist" or "index1" is not the model's joint. For each of the 21 landmarks one constant offset in its
joint's frame is estimated: pose every frame by inverse kinematics, solve the offsets that best meet pixels and 3D
landmarks under those poses (robust, pulled to zero), repeat. Prints the reprojection before and after.
"""

import argparse
import json
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.geometry.intrinsics import camera_for
from hmpfit.hands import as_right_hands as mirroring
from hmpfit.hands.kinematics import Kinematics, landmark_points, pose_joints
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import LANDMARK_OFFSETS, load_hand_models
from hmpfit.initializers.from_keypoints import LEAST_WEIGHT, initialize, normalized
from hmpfit.keypoints.mediapipe import extract
from hmpfit.records import Camera, KeypointTracks
from hmpfit.skeleton import OPENPOSE_21
from hmpfit.video.clip import open_clip

PIXEL_STD_PER_DIAGONAL, WORLD_STD_M = 0.015, 0.012
OFFSET_STD_M = 0.006  # how far an offset may lie from zero before it needs the frames' agreement
PULL = 0.05  # the pull to zero as a share of the frames' weight
OUTLIER_STD = 3.0
FRAMES = 250  # at most, spread over a clip


def offsets_of(clips: list[tuple[KeypointTracks, Camera]], models: HandModels, offsets: Tensor, rounds: int) -> Tensor:
    """Alternate poses and offsets; every hand of every clip weighs by its frames."""
    for _ in range(rounds):
        normal = torch.eye(3, dtype=torch.float64).expand(21, 3, 3).clone() * 0
        right = torch.zeros(21, 3, dtype=torch.float64)
        current = with_offsets(models, offsets)
        for tracks, camera in clips:
            motion = mirroring.motion_as_right(initialize(tracks, camera, current))
            evidence = mirroring.tracks_as_right(tracks, camera.width)
            K = mirroring.intrinsics_as_right(camera, tracks.is_right)
            for hand in range(len(tracks.is_right)):
                rows = np.flatnonzero(tracks.seen[hand])
                rows = rows[:: max(1, len(rows) // FRAMES)]
                kin = Kinematics.of(current.side(bool(tracks.is_right[hand])))

                def take(values: np.ndarray, hand: int = hand, rows: np.ndarray = rows) -> Tensor:
                    return torch.as_tensor(values[hand, rows], dtype=torch.float64)

                R, pose = rotations.exp(take(motion.global_orient)), rotations.exp(take(motion.hand_pose))
                betas, transl = torch.as_tensor(motion.betas[hand]), take(motion.transl)
                points = landmark_points(kin, R, pose, betas, transl)
                frames = pose_joints(kin, R, pose, betas, transl).rotations[:, kin.point_joint]
                intrinsics = np.broadcast_to(K[hand], (tracks.seen.shape[1], 3, 3))[rows]
                xy, focal = normalized(evidence.xy_px[hand, rows], intrinsics, camera.distortion)
                weights = take(tracks.confidence).clamp_min(LEAST_WEIGHT)
                std = PIXEL_STD_PER_DIAGONAL * take(evidence.box_diagonal_px) / focal
                depth = points[..., 2:]
                by_point = torch.cat(
                    (torch.eye(2).expand(*depth.shape[:2], 2, 2), -(points[..., :2] / depth)[..., None]), -1
                )
                add(normal, right, by_point / depth[..., None] / std[:, None, None, None] @ frames,
                    (xy - points[..., :2] / depth) / std[:, None, None], weights)  # fmt: skip
                world = take(evidence.world_m)
                centered = world - world.mean(1, keepdim=True) - (points - points.mean(1, keepdim=True))
                add(normal, right, frames / WORLD_STD_M, centered / WORLD_STD_M, weights)
        pull = torch.eye(3, dtype=torch.float64) * (PULL * normal.diagonal(dim1=1, dim2=2).mean())
        offsets = torch.linalg.solve(normal + pull, (right + (normal @ offsets[..., None])[..., 0])[..., None])[..., 0]
        print("largest offset", f"{1000 * offsets.norm(dim=-1).max():.1f} mm")
    return offsets


def add(normal: Tensor, right: Tensor, rows: Tensor, residual: Tensor, weights: Tensor) -> None:
    """Add Geman-McClure weighted rows [N, 21, D, 3] and residuals [N, 21, D] to the normal equations of the step."""
    share = OUTLIER_STD**2 / (OUTLIER_STD**2 + residual.square().sum(-1))
    weight = (weights * share.square())[..., None, None]
    normal += (rows.mT @ (weight * rows)).sum(0)
    right += (rows.mT @ (weight * residual[..., None])).sum(0)[..., 0]


def with_offsets(models: HandModels, offsets: Tensor) -> HandModels:
    """Return the models with other landmark offsets."""
    from dataclasses import replace

    right = replace(models.right, landmark_offsets=offsets.numpy())
    same = models.left is models.right
    return HandModels(right, right if same else replace(models.left, landmark_offsets=offsets.numpy()))


def reprojection_percent(clips: list[tuple[KeypointTracks, Camera]], models: HandModels) -> list[float]:
    """Return the median landmark error of the initializer per hand, in percent of the hand box's diagonal."""
    from hmpfit.fitting.stages import fit
    from hmpfit.initializers.gaps import fill_gaps
    from hmpfit.recipes import load_recipe

    out = []
    for tracks, camera in clips:
        first = fill_gaps(initialize(tracks, camera, models), tracks.seen, tracks.times_s)
        found = fit(first, tracks, camera, models, None, load_recipe("default"), "none").landmarks_px
        error = np.linalg.norm(found - tracks.xy_px, axis=-1) / tracks.box_diagonal_px[..., None]
        out += [round(100 * float(np.median(error[h][tracks.seen[h]])), 2) for h in range(len(error))]
    return out


def main() -> None:
    """Read the command line, calibrate, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=LANDMARK_OFFSETS)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    torch.set_default_dtype(torch.float64)
    models = load_hand_models("open")
    clips = []
    for video in options.videos:
        clip = open_clip(video)
        camera = camera_for(clip.width, clip.height, None, 0.9)
        clips.append((extract(clip, camera), camera))
    zero = torch.zeros(21, 3, dtype=torch.float64)
    print(
        "median reprojection, % of the box's diagonal, without offsets:",
        reprojection_percent(clips, with_offsets(models, zero)),
    )
    offsets = offsets_of(clips, models, zero, options.rounds)
    print("and with them:", reprojection_percent(clips, with_offsets(models, offsets)))
    table = {
        "source": "benchmarks/calibrate_landmarks.py",
        "detector": "MediaPipe hand_landmark_full",
        "frame": "meters, MANO canonical frame of a right hand, in the frame of the joint that the landmark rides on",
        "offsets_m": {name: [round(float(x), 5) for x in offset] for name, offset in zip(OPENPOSE_21, offsets)},
    }
    options.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
