"""ARCTIC's truth for one view of a recording: stored joints of a split, or MANO parameters in the world's frame."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.datasets.cache import Arrays, cached_arrays
from hmpfit.datasets.parameters import StoredHand, motion_of, place_hand
from hmpfit.errors import InputError
from hmpfit.files.opening import LARGE_MOST
from hmpfit.files.pickled_values import read_object_npy
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Truth
from hmpfit.records import Floats
from hmpfit.skeleton import MANO21_TO_OPENPOSE

WHAT = "an annotation of ARCTIC"
_SIDES = ("right", "left")
_IS_RIGHT = np.array([True, False])
_ENDS = 10  # frames at either end that ARCTIC's own splits leave out


def read_arctic_truth(
    path: Path, split: str, name: str, view: int, rows: NDArray[np.integer],
    extrinsics: Callable[[], tuple[Floats, Floats]], models: HandModels | None,
) -> Truth:  # fmt: skip
    """Return the truth of a recording's frames, whose places in its arrays are `rows` [T].

    Raises InputError when there is neither a split with joints nor a hand model to pose the parameters with.
    """
    file = path / "splits" / f"{split}.npy"
    stored = _of_split(file, name, view) if file.is_file() else None
    if stored is None and models is None:
        raise InputError(
            f"'{name}' has parameters only; give your MANO files with --hand-model, or '{file.name}' in splits/."
        )
    joints = np.full((2, len(rows), 21, 3), np.nan)
    valid = np.zeros((2, len(rows)), dtype=bool)
    if stored is not None:
        inside = (rows >= 0) & (rows < len(stored["valid"]))
        valid[:, inside] = stored["valid"][rows[inside]].T
        joints[:, inside] = np.moveaxis(stored["joints"][rows[inside]], 1, 0)[:, :, list(MANO21_TO_OPENPOSE)]
        joints[~valid] = np.nan
    if models is None:
        return Truth(_IS_RIGHT, joints, valid)
    posed, placed = [], []
    R, t = extrinsics()
    parameters = _parameters(path / "raw_seqs" / f"{name}.mano.npy")
    frames = len(parameters["right"])
    if len(R) not in (1, frames):
        raise InputError(f"The head camera of '{name}' has {len(R)} frames and its hands {frames}.")
    inside = (rows >= 0) & (rows < frames)
    at = np.clip(rows, 0, frames - 1)
    turn, shift = (part[at] if len(part) > 1 else np.repeat(part, len(rows), axis=0) for part in (R, t))
    for hand, side in enumerate(_SIDES):
        use = inside & valid[hand] if stored is not None else inside & (rows >= _ENDS) & (rows < frames - _ENDS)
        found = parameters[side][at]
        hand_of = StoredHand(
            is_right=side == "right", global_orient=found[:, :3], hand_pose=found[:, 3:48], betas=found[:, 51:],
            transl=found[:, 48:51], valid=use, flat_mean=False,
        )  # fmt: skip
        placed.append(place_hand(models, hand_of, turn, shift))
        posed.append(use)
    if stored is None:
        joints, valid = np.stack([hand_of.joints for hand_of in placed]), np.stack(posed)
    vertices = np.stack([hand_of.vertices for hand_of in placed])
    return Truth(_IS_RIGHT, joints, valid, vertices, motion_of(placed, _IS_RIGHT, np.stack(posed)))


def _of_split(file: Path, name: str, view: int) -> Arrays:
    found = cached_arrays("arctic", f"{file} {name}", [file], partial(_read_split, file, name))
    if "joints" not in found:
        raise InputError(f"'{file}' has nothing about '{name}'.")
    return {"joints": np.asarray(found["joints"][:, view], dtype=np.float64), "valid": found["valid"][:, view]}


def _read_split(file: Path, name: str) -> Arrays:
    """Return joints [F, views, 2, 21, 3] and validity [F, views, 2] of a recording."""
    own = _split(file).get(name)
    if own is None:
        return {}
    try:
        joints = np.stack([np.asarray(own["cam_coord"][f"joints.{side}"]) for side in _SIDES], axis=2)
        whole = np.asarray(own["cam_coord"]["is_valid"]) > 0
        valid = np.stack([whole & (np.asarray(own["cam_coord"][f"{side}_valid"]) > 0) for side in _SIDES], axis=2)
    except (KeyError, ValueError) as error:
        raise InputError(f"'{file}' has no usable joints of '{name}' ({error}).") from None
    return {"joints": joints[:, : valid.shape[1]].astype(np.float32), "valid": valid}


_opened: dict[tuple[Path, int], dict[str, Any]] = {}  # one split, which is one file of gigabytes for all recordings


def _split(file: Path) -> dict[str, Any]:
    key = (file, file.stat().st_mtime_ns)
    if key not in _opened:
        try:
            content = read_object_npy(file, WHAT, LARGE_MOST)["data_dict"]
        except KeyError as error:
            raise InputError(f"'{file}' cannot be used: {error}.") from None
        _opened.clear()
        _opened[key] = content
    return _opened[key]


def _parameters(file: Path) -> dict[str, Floats]:
    """Return each side's numbers [F, 61]: 3 + 45 angles, 3 of translation, 10 of shape."""
    try:
        content = read_object_npy(file, WHAT)
        out = {}
        for side in _SIDES:
            rot = np.asarray(content[side]["rot"], dtype=np.float64).reshape(-1, 3)
            shape = np.broadcast_to(np.asarray(content[side]["shape"], dtype=np.float64), (len(rot), 10))
            parts = [rot, *(np.asarray(content[side][key], dtype=np.float64) for key in ("pose", "trans")), shape]
            out[side] = np.concatenate([part.reshape(len(rot), -1) for part in parts], axis=1)
        return out
    except InputError as error:
        raise InputError(f"'{file}' cannot be used: {error}.") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"'{file}' lacks usable parameters of a hand ({error!r}).") from None
