"""METRO and other mesh regressors: 3D joints or MANO vertices per frame, turned into parameters by inverse kinematics.

Accepted: an npz or pickle with `pred_3d_joints` (or `joints3d`) [N, 21, 3] in OpenPose order, or `pred_vertices` (or
`verts`) [N, 778, 3], meters; optionally `frame_ids` [N], `is_right` [N]. Hands are placed by keypoints.
"""

from typing import Any

import numpy as np
import torch

from hmpfit.errors import InputError
from hmpfit.geometry import rotations
from hmpfit.hands.bone_lengths import fit_shape, robust_lengths
from hmpfit.hands.inverse_kinematics import IKSettings, Targets, solve_pose
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.model import HandModels
from hmpfit.initializers.foreign.foreign_motion import ForeignMotion, frame_count, rows_by_frame
from hmpfit.records import MIRROR_ANGLES, MIRROR_X, Floats
from hmpfit.skeleton import MANO21_TO_OPENPOSE

_JOINTS, _VERTICES = ("pred_3d_joints", "joints3d", "joints"), ("pred_vertices", "verts", "vertices")
_BONE_RELATIVE_STD = 0.02  # a regressed mesh has better bone lengths than a detector
_POINTS_STD_M = 0.002  # and where they are


def recognize(contents: dict[str, Any]) -> bool:
    """Return whether these are joints or vertices without parameters."""
    return _find(contents, _JOINTS) is not None or _find(contents, _VERTICES) is not None


def read(contents: dict[str, Any], models: HandModels) -> ForeignMotion:
    """Fit the hand model to every frame's points, shape first.

    Raises InputError when there are vertices alone and the hand model in use is not theirs.
    """
    joints = _joints(contents, models)
    count = len(joints)
    frame = np.asarray(contents.get("frame_ids", np.arange(count))).reshape(-1).astype(int)
    right = np.broadcast_to(np.asarray(contents.get("is_right", True)).reshape(-1) > 0.5, (count,))
    index, sides = rows_by_frame(frame, right, frame_count(frame))
    orient = np.zeros((*index.shape, 3))
    pose, betas = np.zeros((*index.shape, 15, 3)), np.zeros((*index.shape, 10))
    for hand, is_right in enumerate(sides):
        seen = index[hand] >= 0
        points = torch.as_tensor(joints[index[hand, seen]] * (1.0 if is_right else MIRROR_X))
        model = models.side(bool(is_right))
        kin = Kinematics.of(model, landmark_offsets=False)
        weights = torch.ones(points.shape[:2], dtype=points.dtype)
        shape = fit_shape(kin, robust_lengths(points, weights), _BONE_RELATIVE_STD, free_scale=False).betas
        found = solve_pose(
            kin, shape, Targets(points_m=points, weights=weights), IKSettings(points_std_m=_POINTS_STD_M)
        )
        turn = 1.0 if is_right else MIRROR_ANGLES
        orient[hand, seen] = rotations.log(found.global_R).numpy() * turn
        pose[hand, seen] = rotations.log(rotations.exp(found.pose)).numpy() * turn
        betas[hand] = shape.numpy()
    return ForeignMotion("METRO", orient, pose, betas, None, sides, index >= 0)


def _joints(contents: dict[str, Any], models: HandModels) -> Floats:
    joints = _find(contents, _JOINTS)
    if joints is not None:
        if joints.shape[1:] != (21, 3):
            raise InputError(f"The METRO joints have the shape {joints.shape}; [N, 21, 3] in OpenPose order is read.")
        return joints
    vertices, model = _find(contents, _VERTICES), models.right
    assert vertices is not None
    if vertices.shape[1:] != model.v_template.shape:
        raise InputError(
            f"The METRO file holds meshes of {vertices.shape[1]} vertices and no joints, and the hand model in use has "
            f"{len(model.v_template)}; give the MANO file with --hand-model, or store pred_3d_joints too."
        )
    regressed = np.einsum("jv,nvc->njc", model.J_regressor, vertices)
    found: Floats = np.concatenate((regressed, vertices[:, model.tip_vertices]), axis=1)[:, list(MANO21_TO_OPENPOSE)]
    return found


def _find(contents: dict[str, Any], names: tuple[str, ...]) -> Floats | None:
    for name in names:
        values = contents.get(name)
        if values is not None and np.ndim(values) == 3:
            return np.asarray(values, dtype=np.float64)
    return None
