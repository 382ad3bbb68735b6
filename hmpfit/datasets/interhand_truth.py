"""InterHand2.6M's truth for a window: joints in millimeters of the world, MANO fits, both for either hand.

Separate from the index of pictures, because these files belong to whole captures and are read once for all cameras.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.datasets.cache import Arrays, cached_arrays
from hmpfit.datasets.parameters import PlacedHand, StoredHand, motion_of, place_hand
from hmpfit.errors import InputError
from hmpfit.files.opening import LARGE_MOST
from hmpfit.files.structured import read_json
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Truth
from hmpfit.records import Bools, Floats
from hmpfit.skeleton import INTERHAND_TO_OPENPOSE

_SIDES = ("right", "left")
_WIDTH = 61  # 48 angles, 10 shape numbers, 3 of translation


def read_interhand_truth(
    files: Mapping[str, Path],
    capture: str,
    frames: NDArray[np.integer],
    joint_valid: Bools,
    sides: tuple[bool, ...],
    extrinsics: Callable[[], tuple[Floats, Floats]],
    models: HandModels | None,
) -> Truth:
    """Return the truth of the frames [T] of a capture, `joint_valid` [T, 42] being the pictures' own annotation."""
    R, t = extrinsics()
    stored = _cached(files["joint_3d"], _read_joints)
    rows = _rows(stored, capture, frames)
    world = np.asarray(stored["world_coord"])[np.maximum(rows, 0)].reshape(-1, 2, 21, 3) / 1000
    order = list(INTERHAND_TO_OPENPOSE)
    known = (np.asarray(joint_valid).reshape(-1, 2, 21) & (rows >= 0)[:, None, None])[:, :, order]
    joints = np.where(known[..., None], world[:, :, order] @ R.T + t, np.nan)
    which = [0 if is_right else 1 for is_right in sides]
    joints_m, valid = np.moveaxis(joints[:, which], 1, 0), np.moveaxis(known[:, which], 1, 0)
    broken = tuple(
        (str(files["joint_3d"]), f"it lacks frame {frame} of capture {capture}")
        for frame in np.asarray(frames)[rows < 0].tolist()
    )
    side = np.array(sides, dtype=bool)
    if models is None or not files["MANO_NeuralAnnot"].is_file():
        return Truth(side, joints_m, valid.all(-1), joint_valid=valid, broken=broken)
    placed, posed = _fits(files["MANO_NeuralAnnot"], capture, frames, sides, R, t, models)
    return Truth(
        side, joints_m, valid.all(-1), np.stack([hand.vertices for hand in placed]), motion_of(placed, side, posed),
        joint_valid=valid, broken=broken,
    )  # fmt: skip


def _fits(
    file: Path, capture: str, frames: NDArray[np.integer], sides: tuple[bool, ...], R: Floats, t: Floats,
    models: HandModels,
) -> tuple[list[PlacedHand], Bools]:  # fmt: skip
    stored = _cached(file, _read_mano)
    rows = _rows(stored, capture, frames)
    placed, posed = [], []
    for is_right in sides:
        numbers = np.asarray(stored["fits"], dtype=np.float64)[np.maximum(rows, 0), 0 if is_right else 1]
        use = np.isfinite(numbers).all(1) & (rows >= 0)
        hand = StoredHand(
            is_right=is_right, global_orient=numbers[:, :3], hand_pose=numbers[:, 3:48], betas=numbers[:, 48:58],
            transl=numbers[:, 58:], valid=use, flat_mean=False,
        )  # fmt: skip
        placed.append(place_hand(models, hand, R, t))
        posed.append(use)
    return placed, np.stack(posed)


def _rows(stored: Arrays, capture: str, frames: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the rows [T] of a capture's frames, -1 where there is none; stored rows are sorted."""
    own = np.flatnonzero(stored["capture"] == capture)
    if not len(own):
        return np.full(len(frames), -1)
    numbers = np.asarray(stored["frame"])[own]
    at = np.minimum(np.searchsorted(numbers, frames), len(own) - 1)
    return np.where(numbers[at] == frames, own[at], -1)


def _cached(file: Path, read: Callable[[Path], Arrays]) -> Arrays:
    return cached_arrays("interhand", f"{file}", [file], partial(read, file))


def _entries(file: Path) -> list[tuple[str, int, Any]]:
    content = read_json(file, LARGE_MOST)
    try:
        return sorted(
            ((str(capture), int(frame), entry) for capture, own in content.items() for frame, entry in own.items()),
            key=lambda entry: entry[:2],
        )
    except (AttributeError, ValueError) as error:
        raise InputError(f"'{file}' is not a table of captures and frames ({error}).") from None


def _read_joints(file: Path) -> Arrays:
    entries = _entries(file)
    try:
        world = np.array([entry["world_coord"] for *_, entry in entries], dtype=np.float32).reshape(-1, 42, 3)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"'{file}' has a frame without 42 'world_coord' ({error}).") from None
    return {**_keys(entries), "world_coord": world}


def _read_mano(file: Path) -> Arrays:
    entries = _entries(file)
    fits = np.full((len(entries), 2, _WIDTH), np.nan)
    for row, (capture, frame, entry) in enumerate(entries):
        for hand, side in enumerate(_SIDES):
            fit = entry.get(side)
            if fit is None:
                continue
            try:
                fits[row, hand] = np.concatenate([np.ravel(fit[part]) for part in ("pose", "shape", "trans")])
            except (KeyError, ValueError, TypeError) as error:
                raise InputError(
                    f"'{file}' has no usable {side} hand of capture {capture}, frame {frame} ({error})."
                ) from None
    return {**_keys(entries), "fits": fits}


def _keys(entries: list[tuple[str, int, Any]]) -> Arrays:
    return {
        "capture": np.array([capture for capture, *_ in entries], dtype=str),
        "frame": np.array([frame for _, frame, _ in entries], dtype=np.int64),
    }
