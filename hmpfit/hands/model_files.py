"""Find and read hand models: the shipped CC0 hand, or the user's MANO files, right or left, pickle or npz.

Separate from `model.py` so that only this file knows what MANO files look like and where they lie.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit import registry
from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.opening import explained, open_regular
from hmpfit.files.pickled_values import read_pickled_table
from hmpfit.hands.left_right import fix_left_shapedirs, mirror_arrays
from hmpfit.hands.model import Floats, HandModel, HandModels, LoadHandModels
from hmpfit.hands.open_hand.proportions import landmark_offsets
from hmpfit.skeleton import FINGERS, MANO_JOINTS, MANO_PARENTS, OPENPOSE_21, chain

OPEN_HAND = Path(__file__).with_name("open_hand") / "open_hand_right.npz"
ENVIRONMENT = "HMPFIT_MANO"
WHAT_IS_MANO = (
    "MANO is the hand model of Romero, Tzionas and Black (2017): register at https://mano.is.tue.mpg.de, download it "
    f"and give the folder that holds MANO_RIGHT.pkl by --hand-model PATH or ${ENVIRONMENT}; "
    "'--hand-model open' needs no file."
)
MANO_LICENCE = "the file's own; MANO: https://mano.is.tue.mpg.de/license.html"
# smplx 0.1.28, vertex_ids['mano']: thumb, index, middle, ring, pinky. Other libraries differ by a vertex or two.
MANO_TIP_VERTICES = (744, 320, 443, 554, 671)
MANO_VERTICES = 778
BETAS = 10
_SUBFOLDERS = (".", "models", "mano", "mano_v1_2/models")


def load_hand_models(source: str | Path | None = None) -> HandModels:
    """Load the hands of both sides, each in right-hand form.

    `source` is a name ("open" is the shipped CC0 hand), a MANO file, or a folder with MANO_RIGHT / MANO_LEFT .pkl or
    .npz; None takes $HMPFIT_MANO where it is set and the open hand elsewhere. One file alone serves both sides,
    mirrored. Raises InputError, saying what MANO is and where to get it, for a file that is missing or is no MANO
    model, and naming the class for a pickle that asks to load anything but arrays.
    """
    if source is None:
        source = os.environ.get(ENVIRONMENT) or "open"
    if str(source) in registry.names("hand_models"):
        load: LoadHandModels = registry.load("hand_models", str(source))
        return load()
    path = Path(source).expanduser()
    if path.is_file():
        return _both([path])
    if not path.is_dir():
        raise InputError(f"There is no hand model at '{path}'. {WHAT_IS_MANO}")
    files = [found for side in ("RIGHT", "LEFT") if (found := _find(path, side)) is not None]
    if not files:
        raise InputError(f"'{path}' holds neither MANO_RIGHT nor MANO_LEFT, .pkl or .npz. {WHAT_IS_MANO}")
    return _both(files)


def load_open_hand() -> HandModels:
    """Load the shipped CC0 hand, which serves both sides."""
    model = _model("open", _checked(_read(OPEN_HAND), OPEN_HAND))
    return HandModels(model, model)


def _find(folder: Path, side: str) -> Path | None:
    for sub in _SUBFOLDERS:
        for suffix in (".pkl", ".npz"):
            for name in (f"MANO_{side}{suffix}", f"mano_{side.lower()}{suffix}"):
                if (folder / sub / name).is_file():
                    return folder / sub / name
    return None


def _both(files: list[Path]) -> HandModels:
    sides: dict[bool, dict[str, Any]] = {}
    for path in files:
        arrays = _checked(_read(path), path)
        is_right = _points_left(arrays)
        if is_right in sides:
            side = "right" if is_right else "left"
            raise InputError(f"'{files[0]}' and '{path}' are both {side} hands; give one of each side. {WHAT_IS_MANO}")
        sides[is_right] = {**arrays, "name": path.stem}
    if False in sides:
        sides[False]["shapedirs"] = fix_left_shapedirs(sides[False], sides.get(True))
        sides[False] = mirror_arrays(sides[False])
    models = {side: _model(arrays["name"], arrays) for side, arrays in sides.items()}
    only = next(iter(models.values()))
    return HandModels(right=models.get(True, only), left=models.get(False, only))


def _read(path: Path) -> dict[str, Any]:
    with explained(path), open_regular(path) as file:
        zipped = file.read(2) == b"PK"
    try:
        return dict(read_npz(path)) if zipped else read_pickled_table(path, "a MANO pickle")
    except UnreadableFileError as error:
        raise InputError(f"{error} {WHAT_IS_MANO}") from None


def _checked(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the arrays a model needs as float64 and int64; InputError names the key that is missing or misshapen."""
    joints = len(MANO_JOINTS)
    vertices = _array(raw, "v_template", path, (None, 3))
    count = len(vertices)
    arrays: dict[str, Any] = {
        "v_template": vertices,
        "faces": _array(raw, "f", path, (None, 3)).astype(np.int64),
        "shapedirs": _array(raw, "shapedirs", path, (count, 3, None)),
        "posedirs": _array(raw, "posedirs", path, (count, 3, 9 * (joints - 1))).reshape(count * 3, -1).T.copy(),
        "J_regressor": _array(raw, "J_regressor", path, (joints, count)),
        "weights": _array(raw, "weights", path, (count, joints)),
        "hands_mean": _array(raw, "hands_mean", path, (3 * (joints - 1),)),
        "hands_components": _array(raw, "hands_components", path, (3 * (joints - 1), 3 * (joints - 1))),
        "licence": str(raw.get("licence", MANO_LICENCE)),
    }
    if arrays["shapedirs"].shape[2] < BETAS:
        raise InputError(f"'shapedirs' in '{path}' has {arrays['shapedirs'].shape[2]} components, not {BETAS}.")
    arrays["shapedirs"] = arrays["shapedirs"][..., :BETAS].copy()
    if arrays["faces"].size and not 0 <= arrays["faces"].min() <= arrays["faces"].max() < count:
        raise InputError(f"'f' in '{path}' names vertices that the model does not have ({count} vertices).")
    parents = _array(raw, "kintree_table", path, (2, joints))[0, 1:].astype(np.int64)
    if tuple(parents) != MANO_PARENTS[1:]:
        raise InputError(f"'kintree_table' in '{path}' is not MANO's skeleton: parents {parents.tolist()}.")
    if "tip_vertices" in raw:
        tips = _array(raw, "tip_vertices", path, (len(FINGERS),)).astype(np.int64)
        if not 0 <= tips.min() <= tips.max() < count:
            raise InputError(f"'tip_vertices' in '{path}' names vertices that the model does not have.")
        arrays["tip_vertices"] = tips
    else:
        arrays["tip_vertices"] = np.array(MANO_TIP_VERTICES) if count == MANO_VERTICES else _farthest(arrays)
    if "landmark_offsets" in raw:
        arrays["landmark_offsets"] = _array(raw, "landmark_offsets", path, (len(OPENPOSE_21), 3))
    return arrays


def _array(raw: dict[str, Any], key: str, path: Path, shape: tuple[int | None, ...]) -> Floats:
    if key not in raw:
        raise InputError(f"'{path}' has no '{key}', so it is not a MANO model. {WHAT_IS_MANO}")
    try:
        array = np.asarray(raw[key], dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"'{key}' in '{path}' is not an array of numbers. {WHAT_IS_MANO}") from None
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape)):
        wanted = " x ".join("any" if n is None else str(n) for n in shape)
        raise InputError(f"'{key}' in '{path}' has shape {array.shape}, not {wanted}. {WHAT_IS_MANO}")
    if not np.isfinite(array).all():
        raise InputError(f"'{key}' in '{path}' holds numbers that are not finite.")
    return array


def _points_left(arrays: dict[str, Any]) -> bool:
    """Tell a right hand, whose fingers point along -x in MANO's rest pose, from a left hand, whatever its name."""
    joints = arrays["J_regressor"] @ arrays["v_template"]
    return bool(joints[MANO_JOINTS.index("middle1"), 0] < joints[0, 0])


def _farthest(arrays: dict[str, Any]) -> Any:
    """Choose as each fingertip the vertex of the last bone that lies farthest along it."""
    joints = arrays["J_regressor"] @ arrays["v_template"]
    tips = []
    for finger in FINGERS:
        _, second, last = chain(finger)
        along = (arrays["v_template"] - joints[last]) @ (joints[last] - joints[second])
        tips.append(int(np.where(arrays["weights"].argmax(1) == last, along, -np.inf).argmax()))
    return np.array(tips)


def _model(name: str, arrays: dict[str, Any]) -> HandModel:
    fields = {key: value for key, value in arrays.items() if key not in ("name", "licence")}
    if "landmark_offsets" not in fields:
        order = [OPENPOSE_21.index(name) for name in MANO_JOINTS]
        points = np.zeros((len(OPENPOSE_21), 3))
        points[order] = fields["J_regressor"] @ fields["v_template"]
        points[[OPENPOSE_21.index(f"{finger}_tip") for finger in FINGERS]] = fields["v_template"][
            fields["tip_vertices"]
        ]
        fields["landmark_offsets"] = landmark_offsets(points)
    digest = hashlib.sha256()
    for key in sorted(fields):
        digest.update(key.encode() + np.ascontiguousarray(fields[key]).tobytes())
    return HandModel(name=name, licence=arrays["licence"], fingerprint=digest.hexdigest()[:16], **fields)
