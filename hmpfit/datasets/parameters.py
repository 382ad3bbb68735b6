"""MANO parameters of a dataset, brought into the camera's frame and to absolute finger poses, and posed.

Separate from the readers because all of them store the same numbers in other frames. It needs the user's own MANO
model: without it a reader gives joints only.
"""

from dataclasses import dataclass

import numpy as np
import torch

from hmpfit.geometry import rotations
from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model import HandModel, HandModels
from hmpfit.records import DETECTED, EXTRAPOLATED, MIRROR_ANGLES, MIRROR_X, Bools, Floats, HandMotion

OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class StoredHand:
    """One hand's parameters over T frames as a dataset stores them, in any frame; invalid frames are ignored."""

    is_right: bool
    global_orient: Floats  # [T, 3]
    hand_pose: Floats  # [T, 45]
    betas: Floats  # [T, 10]
    transl: Floats  # [T, 3] meters
    valid: Bools  # [T]
    flat_mean: bool  # False: relative to MANO's mean pose


@dataclass(frozen=True)
class PlacedHand:
    """A hand in the camera's frame; rows of invalid frames are NaN in positions and zero in parameters."""

    joints: Floats  # [T, 21, 3]
    vertices: Floats  # [T, V, 3]
    global_orient: Floats  # [T, 3]
    hand_pose: Floats  # [T, 15, 3] absolute
    transl: Floats  # [T, 3]
    betas: Floats  # [10] the mean over valid frames


def place_hand(models: HandModels, hand: StoredHand, turn: Floats, shift: Floats) -> PlacedHand:
    """Pose a hand and move it by x -> turn x + shift, [3, 3] or [T, 3, 3] and [3] or [T, 3], into the camera's frame.

    The root turns about J0 and `transl` comes after, so the new one is turn (J0 + transl) + shift - J0. `betas` may
    vary over frames; positions obey them, the motion gets their mean.
    """
    model = models.side(hand.is_right)
    use = hand.valid
    frames = len(use)
    flip, angles = (np.ones(3), np.ones(3)) if hand.is_right else (MIRROR_X, MIRROR_ANGLES)
    turn, shift = np.broadcast_to(turn, (frames, 3, 3)), np.broadcast_to(shift, (frames, 3))
    betas = np.where(use[:, None], hand.betas, 0.0)
    wrist_rest = rest_wrist(model, betas) * flip
    transl = np.einsum("tij,tj->ti", turn, wrist_rest + np.where(use[:, None], hand.transl, 0.0)) + shift - wrist_rest
    root = rotations.exp(torch.as_tensor(np.where(use[:, None], hand.global_orient, 0.0)))
    orient = rotations.log(torch.as_tensor(turn.copy()) @ root).numpy()
    pose = np.where(use[:, None, None], hand.hand_pose.reshape(frames, 15, 3), 0.0)
    if not hand.flat_mean:
        pose = pose + model.hands_mean.reshape(15, 3) * angles
    tensors = [torch.as_tensor(part) for part in (orient * angles, pose * angles, betas, transl * flip)]
    posed = ManoHand(model, torch.float64)(tensors[0], tensors[1], tensors[2], tensors[3])
    assert posed.vertices is not None
    hidden = ~use[:, None, None]
    joints, vertices = posed.joints.numpy() * flip, posed.vertices.numpy() * flip
    return PlacedHand(
        joints=np.where(hidden, np.nan, joints),
        vertices=np.where(hidden, np.nan, vertices),
        global_orient=np.where(use[:, None], orient, 0.0),
        hand_pose=np.where(hidden, 0.0, pose),
        transl=np.where(use[:, None], transl, 0.0),
        betas=betas[use].mean(0) if use.any() else np.zeros(10),
    )


def rest_wrist(model: HandModel, betas: Floats) -> Floats:
    """Return J0 [..., 3] of shapes [..., 10], in right-hand form."""
    wrist = model.J_regressor[0]
    return np.asarray(wrist @ model.v_template + np.einsum("v,vck,...k->...c", wrist, model.shapedirs, betas))


def expanded(model: HandModel, coefficients: Floats, is_right: bool) -> Floats:
    """Return the poses [..., 45], relative to the mean, of PCA coefficients [..., n] of MANO's own components."""
    pose = coefficients @ model.hands_components[: coefficients.shape[-1]]
    return pose if is_right else pose * np.tile(MIRROR_ANGLES, 15)


def motion_of(hands: list[PlacedHand], is_right: Bools, valid: Bools) -> HandMotion:
    """Return placed hands as one motion; frames that are not valid have status 0."""
    return HandMotion(
        global_orient=np.stack([hand.global_orient for hand in hands]),
        hand_pose=np.stack([hand.hand_pose for hand in hands]),
        transl=np.stack([hand.transl for hand in hands]),
        betas=np.stack([hand.betas for hand in hands]),
        is_right=is_right,
        status=np.where(valid, DETECTED, EXTRAPOLATED).astype(np.uint8),
    )
