"""A result as an animated skeleton: what GLB, BVH and mesh files need, worked out once for all of them.

Separate from the writers, which only spell these arrays in their formats. Left hands are left hands here.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hmpfit.geometry.rotations import exp
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.records import MIRROR_X, Floats, hand_names
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import FINGERS, MANO_21, MANO_JOINTS, MANO_PARENTS, OPENPOSE_TO_MANO21

# From the camera's axes (x right, y down, z forward) to the upright ones of Blender, three.js and BVH players (y up).
UPRIGHT_FROM_CAMERA = np.diag([1.0, -1.0, -1.0])
PARENTS_21 = MANO_PARENTS + tuple(MANO_JOINTS.index(f"{finger}3") for finger in FINGERS)


@dataclass(frozen=True)
class AnimatedHand:
    """One hand over time in MANO-21 order (16 joints, five tips); camera axes, meters."""

    label: str  # "right", "left"; "right2" when there are several of a side
    is_right: bool
    names: tuple[str, ...]  # [21]
    parents: tuple[int, ...]  # [21], -1 for the wrist
    rest: Floats  # [21, 3] positions in the rest pose with this hand's betas, wrist at J0
    rotations: Floats  # [T, 16, 3, 3] each joint's own rotation; the wrist's is global_orient
    wrist: Floats  # [T, 3] positions of the wrist
    tips: Floats  # [T, 5, 3] positions of the tips relative to their parent joint, in that joint's frame
    rest_vertices: Floats  # [V, 3] rest pose with betas
    faces: NDArray[np.int64]  # [F, 3]
    weights: Floats  # [V, 16]


def animate(result: StoredResult, models: HandModels) -> list[AnimatedHand]:
    """Return every hand of a result as an animated skeleton.

    Following the parents reproduces `result.joints` when `models` are those of the fit.
    """
    return [_animate(result, models, hand, label) for hand, label in enumerate(hand_labels(result))]


def hand_labels(result: StoredResult) -> list[str]:
    """Return a name per hand that is unique in the result: right, left, right2, ..."""
    return hand_names(result.motion.is_right)


def frames_per_second(result: StoredResult) -> float:
    """Return the mean frame rate of the time stamps; 30 for a single frame, where any rate is true."""
    times_s = result.tracks.times_s
    return float((len(times_s) - 1) / (times_s[-1] - times_s[0])) if len(times_s) > 1 else 30.0


def hand_vertices(result: StoredResult, models: HandModels) -> Floats:
    """Return the meshes [H, T, V, 3] of a result, camera axes, meters."""
    vertices = pose_hands(models, result.motion, vertices=True).vertices
    assert vertices is not None
    return vertices


def target(out: Path, label: str, suffix: str, several: bool) -> Path:
    """Return the file for one hand: `out` itself names it when it carries the suffix, else it is a folder."""
    if out.suffix != suffix:
        return out / f"{label}_hand{suffix}"
    return out.with_name(f"{out.stem}_{label}{suffix}") if several else out


def _animate(result: StoredResult, models: HandModels, hand: int, label: str) -> AnimatedHand:
    motion = result.motion
    is_right = bool(motion.is_right[hand])
    model, flip = models.side(is_right), np.ones(3) if is_right else MIRROR_X
    shaped = (model.v_template + model.shapedirs @ motion.betas[hand]) * flip
    joints = model.J_regressor @ shaped
    rest = np.concatenate((joints, shaped[model.tip_vertices]))
    angles = np.concatenate((motion.global_orient[hand][:, None], motion.hand_pose[hand]), axis=1)
    rotations = exp(torch.as_tensor(angles, dtype=torch.float64)).numpy()
    points = result.joints[hand][:, OPENPOSE_TO_MANO21]
    world = world_rotations(rotations)
    ends = np.array(PARENTS_21[len(MANO_JOINTS) :])
    reach = points[:, len(MANO_JOINTS) :] - points[:, ends]
    return AnimatedHand(
        label=label,
        is_right=is_right,
        names=MANO_21,
        parents=PARENTS_21,
        rest=rest,
        rotations=rotations,
        wrist=points[:, 0],
        tips=np.einsum("tkji,tkj->tki", world[:, ends], reach),
        rest_vertices=shaped,
        faces=model.faces if is_right else model.faces[:, ::-1],
        weights=model.weights,
    )


def world_rotations(rotations: Floats) -> Floats:
    """Chain the joints' own rotations [T, 16, 3, 3] to rotations [T, 16, 3, 3] in the result's frame."""
    world = [rotations[:, 0]]
    for joint in range(1, len(MANO_JOINTS)):
        world.append(world[MANO_PARENTS[joint]] @ rotations[:, joint])
    return np.stack(world, axis=1)
