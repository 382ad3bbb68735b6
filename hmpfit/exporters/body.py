"""Both hands of a person put into a body's result: GVHMR's `hmr4d_results.pt`, or an npz with SMPL-X's parameters.

The wrist of a body model turns in its elbow's frame, a hand's `global_orient` in the camera's. So the body's chain is
followed to the elbow first. MANO and SMPL-X share the wrist's axes and the order of the finger joints.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hmpfit.errors import InputError
from hmpfit.exporters.persons import persons
from hmpfit.files.archives import read_npz
from hmpfit.files.opening import explained
from hmpfit.geometry.rotations import exp, log
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import Floats
from hmpfit.results.npz import StoredResult

# SMPL-X's first 22 joints (SMPL's too): the parent of each, pelvis first. 18 and 19 are elbows, 20 and 21 wrists.
BODY_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
WRISTS = {"left": 20, "right": 21}
_IN_CAMERA, _ALSO = "smpl_params_incam", "smpl_params_global"  # GVHMR's two sets; their body_pose is the same


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `<body's name>_hands.pt` or `.npz` to the folder `out`: the body with new wrists and fingers.

    The hands are those of the result's first person. `body_pose` gets the wrists; `left_hand_pose` and
    `right_hand_pose` [T, 45] are absolute (smplx: `flat_hand_mean=True, use_pca=False`), zeros for a hand that is not
    there. Raises InputError without `merge_into`, for a file that is no such body, and for another number of frames.
    """
    options.need_camera_frame("smplx")
    if options.merge_into is None:
        raise InputError("--to smplx needs a body: --into hmr4d_results.pt (GVHMR), or an npz of SMPL-X.")
    path, frames = options.merge_into, len(result.tracks.times_s)
    content = _read(path)
    nested = isinstance(content.get(_IN_CAMERA), dict)
    sets = [content[key] for key in (_IN_CAMERA, _ALSO) if key in content] if nested else [content]
    try:
        orient = np.asarray(sets[0]["global_orient"], dtype=np.float64).reshape(-1, 3)
        body = np.asarray(sets[0]["body_pose"], dtype=np.float64).reshape(len(orient), -1, 3)
    except (KeyError, ValueError) as error:
        raise InputError(f"'{path}' holds no SMPL-X body, global_orient and body_pose ({error}).") from None
    if len(orient) != frames or body.shape[1] < max(WRISTS.values()):
        raise InputError(f"'{path}' has {len(orient)} frames and the result {frames}; both must be of one clip.")
    fingers = {side: np.zeros((frames, 45)) for side in WRISTS}
    for hand in persons(result)[0]:
        side = "right" if result.motion.is_right[hand] else "left"
        body[:, WRISTS[side] - 1] = wrist_in_elbow(orient, body, result.motion.global_orient[hand], side)
        fingers[side] = result.motion.hand_pose[hand].reshape(frames, -1)
    for one in sets:
        shape = np.shape(one["body_pose"])
        one["body_pose"] = body.reshape(shape)
        one.update({f"{side}_hand_pose": pose for side, pose in fingers.items()})
    return [_write(out / f"{path.stem}_hands{path.suffix}", content)]


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


def _read(path: Path) -> dict[str, Any]:
    """Read a body's file; torch's reader of weights runs nothing that is in it."""
    if path.suffix == ".npz":
        return dict(read_npz(path))
    with explained(path, "a body's result, .pt or .npz"):
        content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise InputError(f"'{path}' holds a {type(content).__name__}, not a body's parameters.")
    return content


def _write(file: Path, content: dict[str, Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".npz":
        np.savez(file, **content)
        return file

    def tensors(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: tensors(item) for key, item in value.items()}
        return torch.as_tensor(value, dtype=torch.float32) if isinstance(value, np.ndarray) else value

    torch.save(tensors(content), file)
    return file
