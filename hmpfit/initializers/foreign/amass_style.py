"""AMASS-style npz of one hand (what `hmpfit export --to amass` writes), or a folder of one per hand.

`poses` [T, 48] is global_orient and 45 absolute finger angles in the camera's frame, `trans` [T, 3], `betas`,
`mocap_framerate`. Whole-body files (156 or 165 columns) hold no camera and cannot be a first guess.
"""

from typing import Any

import numpy as np
import torch

from hmpfit.errors import InputError
from hmpfit.geometry import rotations
from hmpfit.initializers.foreign.foreign_motion import ForeignMotion
from hmpfit.records import Floats

COLUMNS = 48


def recognize(contents: dict[str, Any]) -> bool:
    """Return whether this is an AMASS-style file, or a folder of them."""
    if isinstance(contents.get("frames"), dict):
        return any(recognize(part) for part in contents["frames"].values())
    return "poses" in contents and "trans" in contents


def read(contents: dict[str, Any], times_s: Floats) -> ForeignMotion:
    """Read one hand per file and resample it to the clip's times [T] if its frame rate or length differs.

    Raises InputError for whole-body files and for a file of another length without a frame rate.
    """
    parts = [contents]
    if isinstance(contents.get("frames"), dict):
        parts = [part for part in contents["frames"].values() if recognize(part)]
    hands = [_hand(part, times_s) for part in parts]
    sides = np.array(["left" not in str(part.get("surface_model_type", "mano_right")) for part in parts])
    orient, pose, transl, betas = (np.stack(values) for values in zip(*hands, strict=True))
    return ForeignMotion("AMASS-style", orient, pose, betas, transl, sides, np.ones(orient.shape[:2], dtype=bool))


def _hand(part: dict[str, Any], times_s: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    poses, transl = np.asarray(part["poses"], dtype=np.float64), np.asarray(part["trans"], dtype=np.float64)
    if poses.ndim != 2 or poses.shape[1] != COLUMNS:
        raise InputError(
            f"The AMASS file's poses have {poses.shape[-1]} columns; one hand in the camera's frame has {COLUMNS} "
            "(global_orient, then 45 finger angles), and a whole body's file holds no camera."
        )
    angles = poses.reshape(len(poses), 16, 3)
    if len(poses) != len(times_s):
        rate = next((part[key] for key in ("mocap_framerate", "mocap_frame_rate", "fps") if key in part), None)
        if rate is None or not float(rate) > 0:
            raise InputError(
                f"The AMASS file holds {len(poses)} frames and no frame rate, and the clip has {len(times_s)} frames."
            )
        angles, transl = _resampled(angles, transl, (times_s - times_s[0]) * float(rate))
    betas = np.zeros(10)
    given = np.asarray(part.get("betas", np.zeros(10)), dtype=np.float64).reshape(-1)[:10]
    betas[: len(given)] = given
    return angles[:, 0], angles[:, 1:], transl, np.tile(betas, (len(angles), 1))


def _resampled(angles: Floats, transl: Floats, place: Floats) -> tuple[Floats, Floats]:
    """Interpolate at fractional frames: rotations by SLERP, translation linearly; the last frame holds."""
    place = np.clip(place, 0, len(angles) - 1)
    low = np.minimum(place.astype(int), max(len(angles) - 2, 0))
    high = np.minimum(low + 1, len(angles) - 1)
    share = place - low
    a, b = (rotations.exp(torch.as_tensor(angles[side])) for side in (low, high))
    turned = rotations.slerp(a, b, torch.as_tensor(share[:, None]).expand(a.shape[:-2]))
    return rotations.log(turned).numpy(), transl[low] * (1 - share[:, None]) + transl[high] * share[:, None]
