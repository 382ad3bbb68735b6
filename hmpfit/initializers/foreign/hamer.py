"""HaMeR and WiLoR: MANO parameters per detection, in one file or in one file per frame.

Both write a right hand's parameters (a left hand is seen in a mirrored crop) and a translation in a camera whose focal
length is 5000/256 of the longer image side unless the file says another. Source: the systems' `demo.py` outputs.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.initializers.foreign.foreign_motion import ForeignMotion, angles, frame_count, rows_by_frame
from hmpfit.records import MIRROR_ANGLES, Camera, Floats

FOCAL_PER_CROP = 5000.0 / 256.0  # px of focal length per px of crop, both systems' configuration
_POSE = ("global_orient", "hand_pose", "betas")
_TRANSL = ("cam_t_full", "pred_cam_t_full", "cam_t", "camera_translation")
_RIGHT = ("right", "is_right")
_FOCAL = ("focal_length", "scaled_focal_length", "focal")


def recognize(contents: dict[str, Any]) -> bool:
    """Return whether these are HaMeR's or WiLoR's parameters."""
    if "frames" in contents and isinstance(contents["frames"], dict):
        return any(recognize(frame) for frame in contents["frames"].values())
    return all(key in contents for key in _POSE) and any(key in contents for key in (*_TRANSL, "pred_cam"))


def read(contents: dict[str, Any], camera: Camera) -> ForeignMotion:
    """Turn parameters over detections into a motion over frames. Raises InputError naming what is missing."""
    detections = _detections(contents)
    right, frame = detections["right"] > 0.5, detections["frame"].astype(int)
    sign = np.where(right, 1.0, -1.0)
    size = max(camera.width, camera.height)
    focal = detections.get("focal", np.full(len(right), FOCAL_PER_CROP * size))
    transl = detections["transl"] if "transl" in detections else _from_crop(detections, focal, camera, sign)
    index, sides = rows_by_frame(frame, right, frame_count(frame))
    turn = np.where(sides[:, None, None], 1.0, MIRROR_ANGLES)
    K = np.tile(np.eye(3), (index.shape[1], 1, 1))
    K[:, 0, 0] = K[:, 1, 1] = _per_frame(focal, frame, index.shape[1])
    K[:, :2, 2] = detections.get("principal", np.array([camera.width / 2, camera.height / 2]))
    orient, pose = angles(detections["global_orient"], 1)[:, 0], angles(detections["hand_pose"], 15)
    return ForeignMotion(
        system="HaMeR or WiLoR",
        global_orient=orient[index] * turn,
        hand_pose=pose[index] * turn[..., None, :],
        betas=detections["betas"][index],
        transl=transl[index],
        is_right=sides,
        seen=index >= 0,
        K=K,
    )


def _detections(contents: dict[str, Any]) -> dict[str, Floats]:
    """Join all frames' files into arrays over detections; `frame` is the frame of each."""
    if "frames" in contents and isinstance(contents["frames"], dict):
        parts = [
            {**_arrays(frame), "frame": np.full(_count(frame), number)}
            for number, frame in sorted(contents["frames"].items())
            if recognize(frame)
        ]
        keys = [key for key in parts[0] if key != "principal" and all(key in part for part in parts)]
        return {key: np.concatenate([part[key] for part in parts]) for key in keys}
    arrays = _arrays(contents)
    frame = next((contents[key] for key in ("frame", "frame_ids", "frame_idx") if key in contents), None)
    numbers = np.arange(_count(contents)) if frame is None else np.asarray(frame).reshape(-1)
    arrays["frame"] = numbers.astype(np.float64)
    if len(arrays["frame"]) != _count(contents):
        raise InputError(f"The HaMeR file has {len(arrays['frame'])} frame numbers for {_count(contents)} hands.")
    return arrays


def _count(contents: dict[str, Any]) -> int:
    return np.asarray(contents["betas"]).reshape(-1, 10).shape[0]


def _arrays(contents: dict[str, Any]) -> dict[str, Floats]:
    count = _count(contents)

    def find(names: tuple[str, ...]) -> Floats | None:
        return next((np.asarray(contents[name], dtype=np.float64) for name in names if name in contents), None)

    arrays = {key: np.asarray(contents[key], dtype=np.float64) for key in _POSE}
    arrays["betas"] = arrays["betas"].reshape(count, 10)
    right = find(_RIGHT)
    arrays["right"] = np.ones(count) if right is None else np.broadcast_to(right.reshape(-1), (count,))
    transl, focal, principal = find(_TRANSL), find(_FOCAL), find(("principal_point",))
    if transl is not None:
        arrays["transl"] = transl.reshape(count, 3)
    else:
        for key, width in (("pred_cam", 3), ("box_center", 2), ("box_size", 1)):
            if key not in contents:
                raise InputError(
                    f"The HaMeR parameters lack '{key}'; without cam_t_full they need pred_cam, box_center, box_size."
                )
            arrays[key] = np.asarray(contents[key], dtype=np.float64).reshape(count, width)
    if focal is not None:
        arrays["focal"] = np.array(np.broadcast_to(focal.reshape(-1), (count,)))
    if principal is not None:
        arrays["principal"] = principal.reshape(-1, 2)[0]
    return arrays


def _from_crop(detections: dict[str, Floats], focal: Floats, camera: Camera, sign: Floats) -> Floats:
    """Return translations in the whole image of crop cameras (s, tx, ty): z = 2 f / (s box), the box's offset added."""
    scale, tx, ty = detections["pred_cam"].T
    extent = np.maximum(detections["box_size"][:, 0] * scale, 1e-9)
    center = detections["box_center"] - np.array([camera.width / 2, camera.height / 2])
    return np.stack((tx * sign + 2 * center[:, 0] / extent, ty + 2 * center[:, 1] / extent, 2 * focal / extent), axis=1)


def _per_frame(values: Floats, frame: NDArray[np.int64], frames: int) -> Floats:
    out = np.full(frames, float(np.median(values)))
    out[frame] = values
    return out
