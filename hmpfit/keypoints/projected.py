"""The `initializer` source: the initializer's own hand, projected: dense but less accurate (the paper's "PyMAF-X").

Separate from the detectors because it reads no pixels; it works with any initializer.
"""

from dataclasses import replace

import numpy as np

from hmpfit.geometry.cameras import project_array
from hmpfit.hands.matching import match_hands
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.context import RunContext
from hmpfit.interfaces.keypoint_source import KeypointSource, SourceInputs
from hmpfit.records import DETECTED, MIRROR_X, Camera, Floats, HandMotion, KeypointTracks

CONFIDENCE = 0.5  # a projection has no confidence of its own; it weighs half of a steady detection


def projected_tracks(
    motion: HandMotion, models: HandModels, camera: Camera, times_s: Floats, confidence: float = CONFIDENCE
) -> KeypointTracks:
    """Project the calibrated landmark points of a motion [H, T] into the camera.

    Only frames that the initializer estimated count: interpolated and extrapolated ones are guesses, not evidence, and
    come back unseen with confidence 0, as do points behind the camera.
    """
    points = posed_landmarks(motion, models)
    seen = motion.status == DETECTED
    in_front = points[..., 2] > 1e-2
    seen = seen & in_front.any(axis=-1)
    kept = seen[..., None] & in_front
    return KeypointTracks(
        xy_px=np.where(kept[..., None], project_array(points, camera.K[:, None], camera.distortion), np.nan),
        confidence=np.where(kept, confidence, 0.0),
        seen=seen,
        is_right=motion.is_right,
        times_s=np.asarray(times_s, dtype=np.float64),
        hand_id=motion.hand_id,
        person_id=motion.person_id,
    )


def match_tracks(tracks: KeypointTracks, motion: HandMotion, context: RunContext) -> KeypointTracks:
    """Pick for each hand of a motion its own track; a hand that was not tracked has no evidence."""
    found = projected_tracks(motion, context.models, context.camera, context.clip.times_s)
    rows = match_hands(tracks.xy_px, tracks.is_right, found.xy_px, motion.is_right)
    picked = tracks.select_hands(np.maximum(rows, 0))
    picked = replace(picked, is_right=motion.is_right, hand_id=motion.hand_id, person_id=motion.person_id)
    return picked.keep_frames((rows >= 0)[:, None])


def initial_keypoints(context: RunContext, inputs: SourceInputs) -> KeypointTracks:
    """Return the initializer's own 2D joints, or its hands projected where it has none."""
    assert inputs.initial is not None
    if inputs.initial.keypoints is not None:
        return inputs.initial.keypoints
    return projected_tracks(inputs.initial.motion, context.models, context.camera, context.clip.times_s)


def posed_landmarks(motion: HandMotion, models: HandModels) -> Floats:
    """Return the points [H, T, 21, 3] of a motion that a detector's landmarks stand for, meters, axes of the motion."""
    import torch

    from hmpfit.geometry.rotations import exp
    from hmpfit.hands.kinematics import Kinematics, landmark_points

    upright = motion.mirrored(~motion.is_right)
    rows = []
    for hand, is_right in enumerate(motion.is_right):
        kinematics = Kinematics.of(models.side(bool(is_right)))
        fields = (upright.global_orient, upright.hand_pose, upright.betas, upright.transl)
        orient, pose, betas, transl = (torch.as_tensor(np.asarray(a[hand], dtype=np.float64)) for a in fields)
        points = landmark_points(kinematics, exp(orient), exp(pose), betas.expand(len(orient), -1), transl)
        rows.append(points.numpy() * (1.0 if is_right else MIRROR_X))
    return np.stack(rows)


SOURCE = KeypointSource(initial_keypoints, requires=frozenset({"initial"}))
