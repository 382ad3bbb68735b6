"""Score the files that people submit: HO3D's and FreiHAND's `pred.json` (or its zip), DexYCB's lines of text.

No hand model is needed: joints and meshes lie in the files. HO3D's joints are in MANO-21 order and OpenGL axes; both
sides are, so the axes need no turning.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.evaluation import single_hand
from hmpfit.files.archives import open_zip
from hmpfit.files.opening import MIB, read_text, reason_of
from hmpfit.files.structured import parse_json, read_json
from hmpfit.skeleton import MANO21_TO_OPENPOSE

Points = NDArray[np.floating]
Scores = dict[str, float]

SUFFIXES = (".json", ".zip", ".txt")
PROTOCOLS = ("ho3d", "freihand", "dexycb")
_DEXYCB_FIELDS = 64  # an image id and 21 joints in mm
_MM = 1000.0
SUBMISSION_MOST = 4096 * MIB  # HO3D's has 20,000 meshes


def score_submission(predictions: Path, truth: Path, protocol: str) -> tuple[Scores, float]:
    """Return the official numbers of a submission file, and the number of samples.

    The truth of HO3D and FreiHAND is the folder with `evaluation_xyz.json` and `evaluation_verts.json`; DexYCB's is a
    file of the same form as the submission. Raises InputError when a file cannot be read or the counts differ.
    """
    if protocol not in PROTOCOLS:
        raise InputError(
            f"Submission files exist for {', '.join(PROTOCOLS)}, not for '{protocol}'; add --protocol ho3d."
        )
    if protocol == "dexycb":
        return _dexycb(_lines(predictions), _lines(truth), predictions)
    stored = _json(predictions)
    if not isinstance(stored, list) or len(stored) != 2:
        raise InputError(f"'{predictions}' is not a submission: it must hold two lists, the joints and the meshes.")
    names = [truth / f"evaluation_{part}.json" for part in ("xyz", "verts")]
    found = [_points(part, predictions) for part in stored]
    true = [_points(_json(name), name) for name in names]
    for part, other, name in zip(found, true, names, strict=True):
        if len(part) != len(other):
            raise InputError(f"'{predictions}' predicts {len(part)} samples and '{name}' has {len(other)}.")
        if part.shape != other.shape:
            raise InputError(f"'{predictions}' has {part.shape[1]} points a sample and '{name}' {other.shape[1]}.")
    order = list(MANO21_TO_OPENPOSE) if protocol == "ho3d" else list(range(21))
    scores = single_hand.PROTOCOLS[protocol](found[0][:, order], true[0][:, order], found[1], true[1])
    return scores, float(len(found[0]))


def _dexycb(found: dict[int, Points], true: dict[int, Points], path: Path) -> tuple[Scores, float]:
    ids = [image for image, joints in true.items() if not (joints == -1).all()]
    missing = [image for image in ids if image not in found]
    if missing:
        raise InputError(f"'{path}' lacks {len(missing)} annotated images, the first of them {missing[0]}.")
    pairs = [np.stack([part[image] for image in ids]) / _MM for part in (found, true)]
    return single_hand.dexycb(*pairs), float(len(ids))


def _lines(path: Path) -> dict[int, Points]:
    try:
        rows = [line.split(",") for line in read_text(path, SUBMISSION_MOST).splitlines() if line.strip()]
        if not rows or any(len(row) != _DEXYCB_FIELDS for row in rows):
            raise ValueError("each line must hold an image id and 63 numbers between commas")
        found = {int(row[0]): np.array(row[1:], dtype=np.float64).reshape(21, 3) for row in rows}
        if not all(np.isfinite(joints).all() for joints in found.values()):
            raise ValueError("it holds numbers that are not finite")
        return found
    except UnreadableFileError as error:
        raise InputError(f"'{path}' cannot be read as DexYCB's result file: {error.reason}.") from None
    except ValueError as error:
        raise InputError(f"'{path}' cannot be read as DexYCB's result file: {reason_of(error)}.") from None


def _json(path: Path) -> Any:
    if path.suffix != ".zip":
        return read_json(path, SUBMISSION_MOST)
    with open_zip(path, "a zipped submission") as archive:
        names = [name for name in archive.namelist() if name.endswith(".json")]
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} JSON files instead of one")
        return parse_json(archive.read(names[0]), path)


def _points(values: Any, path: Path) -> Points:
    try:
        points = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    if not np.isfinite(points).all():
        raise InputError(f"'{path}' holds points that are not finite numbers.")
    if points.ndim != 3 or points.shape[-1] != 3 or not points.size:
        raise InputError(f"'{path}' must hold the same number of xyz points for every sample, and at least one sample.")
    return points
