"""Estimate an unknown focal length from perspective within the hands and from the lines of the scene.

A hand near a wide lens has larger near fingers than the same hand seen through a long one. For each of some focal
lengths inverse kinematics poses a hand of the same shape in some frames; how well it meets landmarks in 2D and 3D,
summed over hands, is the likelihood. Straight lines of the scene (`vanishing_points`) bring another, and a log-normal
prior about the assumed focal length completes it. The hand's size does not enter: a larger hand farther away looks the
same at any focal length.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from hmpfit.geometry.cameras import FOCAL_LOG_STD, rays, rotation_from_optical_axis
from hmpfit.hands import as_right_hands as mirroring
from hmpfit.hands.bone_lengths import fit_shape, robust_lengths
from hmpfit.hands.inverse_kinematics import IKSettings, Targets, solve_pose
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.model import HandModels
from hmpfit.initializers.from_keypoints import LEAST_LANDMARKS, LEAST_WEIGHT, normalized_pixels
from hmpfit.records import Bools, Camera, Floats, KeypointTracks
from hmpfit.vanishing_points.focal_evidence import LineEvidence

GRID = np.exp(np.linspace(np.log(0.4), np.log(1.6), 9))  # of the assumed focal length's longer side
MOST_FRAMES = 40  # of a hand, evenly over the frames that see it
ENOUGH_FRAMES = 20  # fewer weigh proportionally less
PIXEL_STD_PER_DIAGONAL, POINT_STD_M, BONE_RELATIVE_STD = 0.01, 0.02, 0.2
# Landmarks err alike in all frames of a clip, so that a hand counts as this many independent frames however long it is
# seen: with it the errors on our real truth clips are as large as the stated deviations.
INDEPENDENT_FRAMES = 5.0
COST_TOLERANCE = 1e-3  # of the inverse kinematics: with 1e-5 focal lengths differ by 0.1 % and take a quarter longer
LINE_FOCALS = np.exp(np.linspace(np.log(0.35), np.log(2.2), 25))  # longer sides, at which lines are weighed
# Of the logarithm of a focal length from lines: unknown lens distortion and principal point moved it by up to 11 % on
# truth clips where it is within 3 % with the true ones (docs/cameras.md).
LENS_LOG_STD = 0.08


@dataclass(frozen=True)
class FocalEstimate:
    """A focal length and the standard deviation of its logarithm; `costs` [F] at `focals_px` [F], mean per frame.

    `order` is the share of the scene's lines that run along three directions at right angles.
    """

    focal_px: float
    log_std: float
    focals_px: Floats
    costs: Floats
    order: float = 0.0


def estimate_focal(
    tracks: KeypointTracks,
    camera: Camera,
    models: HandModels,
    find_lines: Callable[[], LineEvidence] | None = None,
) -> FocalEstimate:
    """Estimate the focal length of a clip whose `camera`, assumed, turned the tracks' 3D landmarks into its axes.

    The scene's lines, asked for when the hands are posed, are weighed at `LINE_FOCALS`. The prior is log-normal about
    the camera's own focal length with the deviation of assumed cameras. Deterministic.
    """
    focals = GRID * max(camera.width, camera.height)
    costs, weight = np.zeros(len(focals)), 0.0
    for hand in range(len(tracks.is_right)):
        rows = _rows(tracks, hand)
        if len(rows) == 0:
            continue
        share = min(1.0, len(rows) / ENOUGH_FRAMES)
        one, parts = slice(hand, hand + 1), ("xy_px", "confidence", "seen", "world_m")
        cut = {name: getattr(tracks, name)[one, rows] for name in parts}
        some = KeypointTracks(is_right=tracks.is_right[one], times_s=tracks.times_s[rows], **cut)
        costs += share * _costs(some, camera, focals, models)
        weight += share
    side, prior = float(max(camera.width, camera.height)), float(camera.K[0, 0, 0])
    logs = np.linspace(np.log(LINE_FOCALS[0]), np.log(LINE_FOCALS[-1]), 600)
    log_density = -0.5 * INDEPENDENT_FRAMES * np.interp(logs, np.log(GRID), costs)
    log_density -= 0.5 * ((logs - np.log(prior / side)) / FOCAL_LOG_STD["assumed"]) ** 2
    lines = None if find_lines is None else find_lines()
    if lines is not None:
        log_density += np.log(_blurred(np.exp(np.interp(logs, np.log(lines.focals), lines.log_likelihood)), logs))
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    mean = float(density @ logs)
    std = float(np.sqrt(density @ (logs - mean) ** 2))
    order = 0.0 if lines is None else lines.order
    return FocalEstimate(float(np.exp(mean)) * side, std, focals, costs / max(weight, 1e-9), order)


def weighed_frames(tracks: KeypointTracks) -> Bools:
    """Return the frames [H, T] of hands that `estimate_focal` poses."""
    chosen = np.zeros(tracks.seen.shape, dtype=bool)
    for hand in range(len(chosen)):
        chosen[hand, _rows(tracks, hand)] = True
    return chosen


def with_focal(camera: Camera, focal_px: float) -> Camera:
    """Return the camera with another focal length."""
    K = camera.K.copy()
    K[:, [0, 1], [0, 1]] = focal_px
    return replace(camera, K=K)


def turned_landmarks(tracks: KeypointTracks, before: Camera, after: Camera) -> KeypointTracks:
    """Return tracks whose 3D landmarks, turned into the axes of one camera, are turned into those of another.

    A detector sees a hand as if its camera looked straight at it; the way from there depends on the focal length.
    """
    if tracks.world_m is None:
        return tracks
    world, (_, frames) = tracks.world_m.copy(), np.nonzero(tracks.seen)
    xy_px = tracks.xy_px[tracks.seen]
    shown = np.isfinite(xy_px).all(-1)
    count = shown.sum(-1)[:, None]
    center_px = np.where(shown[..., None], xy_px, 0.0).sum(1) / np.maximum(count, 1)
    there, here = (
        rotation_from_optical_axis(rays(center_px, camera.K[np.minimum(frames, len(camera.K) - 1)], camera.distortion))
        for camera in (before, after)
    )
    turned = world[tracks.seen] @ np.swapaxes(here @ np.swapaxes(there, -1, -2), -1, -2)
    world[tracks.seen] = np.where(count[..., None] > 0, turned, np.nan)  # not trusted: its direction is not known
    return replace(tracks, world_m=world)


def _rows(tracks: KeypointTracks, hand: int) -> np.ndarray:
    if tracks.world_m is None:
        return np.zeros(0, dtype=int)
    known = np.isfinite(tracks.world_m[hand]).all(-1) & np.isfinite(tracks.xy_px[hand]).all(-1)
    rows = np.flatnonzero(tracks.seen[hand] & (known.sum(-1) >= LEAST_LANDMARKS))
    return rows[np.linspace(0, len(rows) - 1, min(MOST_FRAMES, len(rows))).round().astype(int)] if len(rows) else rows


def _costs(tracks: KeypointTracks, camera: Camera, focals: Floats, models: HandModels) -> Floats:
    """Return the mean cost of one hand's frames under each focal length [F]; all of them are posed in one batch."""
    hand = Kinematics.of(models.side(bool(tracks.is_right[0])))
    parts = [_targets(tracks, camera, with_focal(camera, focal)) for focal in focals]
    one = parts[0]  # bones are as long from any direction
    shape = fit_shape(hand, robust_lengths(one.points_m, one.weights), BONE_RELATIVE_STD, free_scale=False).betas
    every = Targets(*(torch.cat([getattr(part, name) for part in parts]) for name in vars(one)))
    found = solve_pose(hand, shape, every, IKSettings(points_std_m=POINT_STD_M, tolerance=COST_TOLERANCE))
    return np.asarray(found.cost.reshape(len(focals), -1).mean(dim=1).numpy(), dtype=np.float64)


def _targets(tracks: KeypointTracks, before: Camera, camera: Camera) -> Targets:
    """Return what one hand's frames should meet under a camera, as a right hand's."""
    right = mirroring.tracks_as_right(turned_landmarks(tracks, before, camera), camera.width)
    assert right.world_m is not None
    K = mirroring.intrinsics_as_right(camera, tracks.is_right)[0]
    known = np.isfinite(right.world_m[0]).all(-1) & np.isfinite(right.xy_px[0]).all(-1)
    world = torch.as_tensor(np.nan_to_num(right.world_m[0]), dtype=torch.float64)
    weights = torch.as_tensor(np.where(known, np.maximum(right.confidence[0], LEAST_WEIGHT), 0.0))
    K = np.broadcast_to(K, (world.shape[0], 3, 3))
    xy, focal = normalized_pixels(np.nan_to_num(right.xy_px[0]), K, camera.distortion)
    diagonal = torch.as_tensor(right.box_diagonal_px[0], dtype=torch.float64)
    return Targets(world, weights, xy, weights, PIXEL_STD_PER_DIAGONAL * diagonal.clamp_min(1.0) / focal)


def _blurred(likelihood: Floats, logs: Floats) -> Floats:
    """Return a likelihood [L] as wide as `LENS_LOG_STD` makes it."""
    kernel = np.exp(-0.5 * ((logs[:, None] - logs) / LENS_LOG_STD) ** 2)
    return np.asarray((kernel @ likelihood) / kernel.sum(axis=1))
