"""The detector's depths read the other way round, where a hand that bends as hands do explains them better so.

A hand seen edge-on has two poses with nearly the same picture, mirrored in depth, and the detector's 3D landmarks are
now and then those of the wrong one. Fingers bend to one side only, so that the inverse kinematics of both readings
tells them apart, frame by frame.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from hmpfit.geometry.alignment import unit
from hmpfit.geometry.cameras import rays
from hmpfit.hands.inverse_kinematics import IKSettings, solve_pose
from hmpfit.hands.model import HandModels
from hmpfit.initializers.from_keypoints import HandToPose, hands_to_pose
from hmpfit.records import MIRROR_X, Bools, Camera, Floats, KeypointTracks

FIRST_LOOK = IKSettings(steps=3)
WORTH_SOLVING = 1.5  # times the cost of the detector's reading, after the first look
LEAST_CONFIDENCE = 0.1  # mean of a frame's landmarks: behind a thing neither reading is the hand's


@dataclass(frozen=True)
class DepthSigns:
    """In which frames [H, T] the detector's 3D landmarks are mirrored in depth."""

    reversed: Bools


def find_reversed_depths(
    tracks: KeypointTracks, camera: Camera, models: HandModels, only: Bools | None = None
) -> DepthSigns:
    """Return the frames whose 3D landmarks cost the inverse kinematics less when mirrored along the line of sight.

    The costs hold pixels, 3D landmarks and anatomy. Frames without 3D landmarks, and those whose landmarks no view
    confirms, stay as they are, and so do all but `only` [H, T].
    """
    found = np.zeros(tracks.seen.shape, dtype=bool)
    if tracks.confidence.any():
        tracks = tracks.keep_frames(tracks.confidence.mean(-1) >= LEAST_CONFIDENCE)
    if tracks.world_m is None:
        return DepthSigns(found)
    lines = _lines_of_sight(tracks, camera)
    for hand, one in enumerate(hands_to_pose(tracks, camera, models)):
        along = lines[hand, one.seen] * (1.0 if tracks.is_right[hand] else MIRROR_X)
        asked = np.ones(len(along), dtype=bool) if only is None else only[hand, one.seen]
        found[hand, np.flatnonzero(one.seen)[_reversed(one, along, asked)]] = True
    return DepthSigns(found)


def with_depths(tracks: KeypointTracks, camera: Camera, signs: DepthSigns) -> KeypointTracks:
    """Return tracks whose 3D landmarks are mirrored along the line of sight in some frames."""
    if tracks.world_m is None or not signs.reversed.any():
        return tracks
    mirrored = _mirrored(tracks.world_m, _lines_of_sight(tracks, camera))
    return replace(tracks, world_m=np.where(signs.reversed[..., None, None], mirrored, tracks.world_m))


def _reversed(hand: HandToPose, along: Floats, asked: Bools) -> Bools:
    """Return which of the `asked` seen frames [N] of a hand cost less mirrored along the directions [N, 3]."""
    found = np.zeros(len(along), dtype=bool)
    rows = np.flatnonzero(asked)
    for settings, share in ((FIRST_LOOK, WORTH_SOLVING), (IKSettings(), 1.0)):
        if len(rows):
            given = hand.targets.take(torch.as_tensor(rows))
            points = torch.as_tensor(_mirrored(given.points_m.numpy(), along[rows]))
            costs = [
                solve_pose(hand.kinematics, hand.betas, targets, settings).cost.numpy()
                for targets in (given, replace(given, points_m=points))
            ]
            rows = rows[costs[1] < share * costs[0]]
    found[rows] = True
    return found


def _lines_of_sight(tracks: KeypointTracks, camera: Camera) -> Floats:
    """Return the directions [H, T, 3] from the camera to the middle of each hand's known landmarks, else 0."""
    known = np.isfinite(tracks.xy_px).all(-1, keepdims=True)
    ray = rays(np.nan_to_num(tracks.xy_px), camera.K[:, None], camera.distortion)
    return unit(np.where(known, ray, 0.0).sum(-2))


def _mirrored(points: Floats, along: Floats) -> Floats:
    """Mirror points [..., 21, 3] in the planes through the origin across the directions [..., 3]."""
    along = along[..., None, :]
    return points - 2 * (points * along).sum(-1, keepdims=True) * along
