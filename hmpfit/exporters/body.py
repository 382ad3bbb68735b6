"""Both hands of a person put into a body's result: GVHMR's, 4D-Humans', SMPLest-X', or an npz with SMPL-X's parameters.

The wrist of a body model turns in its elbow's frame, a hand's `global_orient` in the camera's. So the body's chain is
followed to the elbow first. MANO, SMPL and SMPL-X share the wrist's axes, MANO and SMPL-X the order of finger joints.
"""

from pathlib import Path

import numpy as np
import torch

from hmpfit.errors import InputError
from hmpfit.exporters.body_files import open_body
from hmpfit.exporters.persons import persons
from hmpfit.geometry.rotations import exp, log
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import Floats
from hmpfit.results.npz import StoredResult

# SMPL-X's first 22 joints (SMPL's too): the parent of each, pelvis first. 18 and 19 are elbows, 20 and 21 wrists.
BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
WRISTS = {"left": 20, "right": 21}


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `<body's name>_hands` with the body's suffix to the folder `out`: the body with new wrists and fingers.

    The hands are those of the result's first person; the body is the one seen most often, or that of the variant's
    number. `body_pose` gets the wrists; `left_hand_pose` and `right_hand_pose` [T, 45] are absolute (smplx:
    `flat_hand_mean=True, use_pca=False`), zeros for a hand that is not there; 4D-Humans' people get them as rotation
    matrices [15, 3, 3]. Frames without the body stay as they are. Raises InputError without `merge_into`, for a file
    that is no such body, and for another number of frames.
    """
    options.need_camera_frame("smplx")
    if options.merge_into is None:
        raise InputError(
            "--to smplx needs a body: --into FILE, of GVHMR (.pt), 4D-Humans (.pkl), SMPL-X (npz), or a folder of npz."
        )
    path, frames = options.merge_into, len(result.tracks.times_s)
    found = open_body(path, options.variant)
    orient, body = found.global_orient, found.body_pose.copy()
    if len(orient) != frames or body.shape[1] < max(WRISTS.values()):
        raise InputError(f"'{path}' has {len(orient)} frames and the result {frames}; both must be of one clip.")
    seen = np.isfinite(orient).all(-1)
    fingers = {side: np.zeros((frames, 45)) for side in WRISTS}
    for hand in persons(result)[0]:
        side = "right" if result.motion.is_right[hand] else "left"
        turned = wrist_in_elbow(orient[seen], body[seen], result.motion.global_orient[hand, seen], side)
        body[seen, WRISTS[side] - 1] = turned
        fingers[side] = result.motion.hand_pose[hand].reshape(frames, -1)
    return found.write(out, body, fingers)


def wrist_in_elbow(global_orient: Floats, body_pose: Floats, hand_orient: Floats, side: str) -> Floats:
    """Return the wrist's rotation [T, 3] in the elbow's frame, for a hand turned by `hand_orient` [T, 3].

    `global_orient` [T, 3] and `body_pose` [T, 21 or more, 3] are the body's, all axis-angle in one frame.
    """
    local = exp(torch.as_tensor(np.concatenate((global_orient[:, None], body_pose), axis=1)))
    chain, joint = [], BODY_PARENTS[WRISTS[side]]
    while joint >= 0:
        chain.append(joint)
        joint = BODY_PARENTS[joint]
    elbow = torch.eye(3, dtype=local.dtype).expand(len(local), 3, 3)
    for joint in reversed(chain):
        elbow = elbow @ local[:, joint]
    hand = exp(torch.as_tensor(hand_orient, dtype=local.dtype))
    return log(elbow.transpose(-1, -2) @ hand).numpy()
