"""The files that official evaluations take: HO3D's and FreiHAND's zipped `pred.json`, DexYCB's text.

Separate from the readers because this is the way out: our convention back into the dataset's frame, order and unit. A
frame without a prediction is filled with a neutral hand and counted.
"""

import json
import logging
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hmpfit.datasets.parameters import OPENGL_TO_OPENCV
from hmpfit.errors import InputError
from hmpfit.files.replacing import replace_file
from hmpfit.hands.model_files import MANO_VERTICES
from hmpfit.interfaces.dataset import Dataset, Sequence
from hmpfit.records import Floats
from hmpfit.skeleton import OPENPOSE_TO_MANO21

log = logging.getLogger("hmpfit")

WRITERS = ("ho3d", "freihand", "dexycb")
_NEUTRAL_DEPTH_M = 0.7  # about an arm's length, where these datasets' hands are
_DIGITS = 6  # of meters: a micrometer


@dataclass(frozen=True)
class HandPrediction:
    """One hand of a sequence's estimate, camera-frame meters; NaN rows are frames without one."""

    joints: Floats  # [T, 21, 3] OpenPose order
    vertices: Floats | None  # [T, V, 3]


@dataclass(frozen=True)
class Submission:
    """What was written: how many frames, and how many of them are neutral hands."""

    path: Path
    frames: int
    filled: int


# Gives the estimate of the hand that a sequence annotates, or None where there is none.
Predict = Callable[[Sequence], HandPrediction | None]
NeutralHand = Callable[[bool], tuple[Floats, Floats]]  # is_right -> joints [21, 3], vertices [V, 3], wrist at 0


def write_submission(dataset: Dataset, predict: Predict, neutral: NeutralHand, path: Path) -> Submission:
    """Write the official file of a split to `path` and return what it holds.

    HO3D: `[xyz, verts]` in the order of its frame list, OpenGL axes, MANO-21 order, meters. FreiHAND: so in OpenCV
    axes and OpenPose order. DexYCB: a line `index,63 numbers` a frame, millimeters, OpenPose order. Raises InputError
    for a kind that has no official file, and when a prediction has another number of frames than its sequence.
    """
    if dataset.kind not in WRITERS:
        raise InputError(f"There is no submission file for {dataset.kind}; kinds with one: {', '.join(WRITERS)}.")
    if dataset.kind in ("ho3d", "freihand") and path.suffix != ".zip":
        raise InputError(f"The submission of {dataset.kind} is a zip with pred.json; name a .zip file, not '{path}'.")
    partial = path.with_name(f".{path.name}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    rows = _in_order(dataset, predict, neutral)
    try:
        counts = _write_text(partial, rows) if dataset.kind == "dexycb" else _write_zip(partial, rows, dataset.kind)
        replace_file(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    if counts[1]:
        log.warning("%d of the %d frames had no prediction and hold a neutral hand", counts[1], counts[0])
    return Submission(path, *counts)


def _in_order(
    dataset: Dataset, predict: Predict, neutral: NeutralHand
) -> Iterator[tuple[int, Floats, Floats | None, bool]]:
    """Yield (official index, joints, vertices, whether it is a filler); a sequence is asked for once while it lasts."""
    known = {sequence.name: sequence for sequence in dataset.sequences}
    current: str | None = None
    found: HandPrediction | None = None
    frames: dict[str, int] = {}
    for index, (name, frame) in enumerate(dataset.order):
        if name != current:
            current, found, frames = name, None, {}
            if name in known:
                found = _checked(predict(known[name]), known[name])
                frames = {each: row for row, each in enumerate(known[name].frame_names)}
        row = frames.get(frame)
        if found is not None and row is not None and np.isfinite(found.joints[row]).all():
            yield index, found.joints[row], None if found.vertices is None else found.vertices[row], False
            continue
        joints, vertices = neutral(known[name].sides[0] if name in known else True)
        ahead = np.array([0.0, 0.0, _NEUTRAL_DEPTH_M])
        if found is not None and np.isfinite(found.joints).all((1, 2)).any():
            ahead = found.joints[np.isfinite(found.joints).all((1, 2))][0, 0]
        yield index, joints + ahead, vertices + ahead, True


def _checked(prediction: HandPrediction | None, sequence: Sequence) -> HandPrediction | None:
    if prediction is not None and len(prediction.joints) != len(sequence.frame_names):
        raise InputError(
            f"The prediction of '{sequence.name}' has {len(prediction.joints)} frames and the sequence "
            f"{len(sequence.frame_names)}; fit whole sequences."
        )
    return prediction


def _write_zip(path: Path, rows: Iterator[tuple[int, Floats, Floats | None, bool]], kind: str) -> tuple[int, int]:
    turn, order = (OPENGL_TO_OPENCV, OPENPOSE_TO_MANO21) if kind == "ho3d" else (np.eye(3), tuple(range(21)))
    count, filled, foreign = 0, 0, False
    meshes_file = path.with_name(f"{path.name}.verts")  # the list of meshes comes second and may be bigger than memory
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, meshes_file.open("w+b") as kept:
            # A fixed date, so that the same predictions are the same bytes.
            entry = zipfile.ZipInfo("pred.json", (2000, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as out:
                out.write(b"[[")
                for _, joints, vertices, filler in rows:
                    if vertices is None:
                        raise InputError("These predictions have no meshes, and the submission needs them.")
                    comma = b"," if count else b""
                    out.write(comma + _text(joints[list(order)] @ turn))
                    kept.write(comma + _text(vertices @ turn))
                    count, filled = count + 1, filled + filler
                    foreign = foreign or len(vertices) != MANO_VERTICES
                out.write(b"],[")
                kept.seek(0)
                while block := kept.read(1 << 20):
                    out.write(block)
                out.write(b"]]")
    finally:
        meshes_file.unlink(missing_ok=True)
    if foreign:
        log.warning(
            "The meshes are not MANO's %d vertices: the official script aligns them by the joints and gives F-scores "
            "without vertex errors",
            MANO_VERTICES,
        )
    return count, filled


def _write_text(path: Path, rows: Iterator[tuple[int, Floats, Floats | None, bool]]) -> tuple[int, int]:
    count = filled = 0
    with path.open("w") as out:
        for index, joints, _, filler in rows:
            out.write(",".join([str(index), *(f"{value:.4f}" for value in (joints * 1000).ravel())]) + "\n")
            count, filled = count + 1, filled + filler
    return count, filled


def _text(points: Floats) -> bytes:
    return json.dumps(np.round(points, _DIGITS).tolist(), separators=(",", ":")).encode()
