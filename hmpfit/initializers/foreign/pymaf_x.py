"""PyMAF-X's `output.pkl`: the whole-body form (`demo_smplx.py`) and the hand-only form of the paper's own runs.

Rotation matrices in batches of torch tensors; camera of 5000 px focal length, centered on the image.
The whole-body form says no place of the wrist without a licensed body model, so its hands are placed by keypoints.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.geometry import rotations
from hmpfit.initializers.foreign.foreign_motion import ForeignMotion, frame_count
from hmpfit.records import Bools, Camera, Floats

FOCAL_PX = 5000.0  # PyMAF-X's constant
# SMPL's joints from the pelvis to each wrist: pelvis, three of the spine, collar, shoulder, elbow, wrist.
_CHAIN = {True: (0, 3, 6, 9, 14, 17, 19, 21), False: (0, 3, 6, 9, 13, 16, 18, 20)}
_BODY_JOINTS = 22


def recognize(contents: dict[str, Any]) -> bool:
    """Return whether this is a PyMAF-X output."""
    return "smplx_params" in contents and "orig_cam_t" in contents


def read(contents: dict[str, Any], camera: Camera) -> ForeignMotion:
    """Return the hands of the person seen in most frames. Raises InputError when no person was detected."""
    batches = [batch for batch in contents["smplx_params"] or [] if batch]
    if not batches or contents.get("frame_ids") is None:
        raise InputError("The PyMAF-X file holds no detections; run PyMAF-X on a video in which a hand is seen.")
    frame_ids = np.asarray(contents["frame_ids"]).reshape(-1).astype(int)
    persons = np.asarray(contents.get("person_ids", np.zeros(len(frame_ids)))).reshape(-1)[: len(frame_ids)]
    values, counts = np.unique(persons, return_counts=True)
    person = persons == values[np.argmax(counts)]
    frames = frame_count(frame_ids)
    index = np.full(frames, -1)
    index[frame_ids[person][::-1]] = np.flatnonzero(person)[::-1]
    seen = index >= 0
    if "root_orient" in batches[0]:
        return _hand_only(contents, batches, index, seen, camera)
    return _whole_body(batches, index, seen)


def _hand_only(
    contents: dict[str, Any], batches: Sequence[dict[str, Any]], index: NDArray[np.int64], seen: Bools, camera: Camera
) -> ForeignMotion:
    orient = _log(_joined(batches, "root_orient").reshape(-1, 3, 3))[index]
    pose = _log(_joined(batches, "body_pose").reshape(-1, 15, 3, 3))[index]
    betas = _joined(batches, "shape").reshape(-1, 10)[index]
    K = np.tile(np.eye(3), (len(index), 1, 1))
    K[:, 0, 0] = K[:, 1, 1] = FOCAL_PX
    K[:, :2, 2] = camera.width / 2, camera.height / 2
    transl = np.asarray(contents["orig_cam_t"], dtype=np.float64).reshape(-1, 3)[index]
    return ForeignMotion(
        "PyMAF-X", orient[None], pose[None], betas[None], transl[None], np.array([True]), seen[None], K
    )


def _whole_body(batches: Sequence[dict[str, Any]], index: NDArray[np.int64], seen: Bools) -> ForeignMotion:
    body = _joined(batches, "body_pose").reshape(len(_joined(batches, "shape")), -1, 3, 3)
    if body.shape[1] < _BODY_JOINTS:
        raise InputError(
            f"The PyMAF-X file's body_pose has {body.shape[1]} joints; {_BODY_JOINTS} with the root first are needed "
            "for the wrists' rotation."
        )
    orient, pose = [], []
    for is_right, name in ((True, "right_hand_pose"), (False, "left_hand_pose")):
        world = body[:, 0]
        for joint in _CHAIN[is_right][1:]:
            world = world @ body[:, joint]
        orient.append(_log(world)[index])
        pose.append(_log(_joined(batches, name).reshape(-1, 15, 3, 3))[index])
    shape = np.zeros((2, len(index), 10))  # the body's shape coefficients do not describe the hand's
    return ForeignMotion(
        "PyMAF-X", np.stack(orient), np.stack(pose), shape, None, np.array([True, False]), np.stack((seen, seen))
    )


def _joined(batches: Sequence[dict[str, Any]], name: str) -> Floats:
    missing = [batch for batch in batches if name not in batch]
    if missing:
        raise InputError(f"The PyMAF-X file's smplx_params lack '{name}'.")
    return np.concatenate([np.asarray(batch[name], dtype=np.float64) for batch in batches])


def _log(matrices: Floats) -> Floats:
    found: Floats = rotations.log(torch.as_tensor(matrices)).numpy()
    return found
