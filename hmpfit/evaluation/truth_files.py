"""The truth of a clip as the metrics take it: from a `truth.npz`, from another result, or from a dataset.

Separate from the scoring, so that a new source of truth is one function here.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.schemas import METERS, SECONDS, Fields
from hmpfit.interfaces.dataset import Sequence, Truth


def read_truth(path: Path) -> Truth:
    """Read a synthetic clip's `truth.npz` (or its folder), or a result as the truth of another.

    Raises InputError when the file is missing, damaged, or lacks joints.
    """
    file = next((path / name for name in ("truth.npz", "result.npz") if (path / name).is_file()), path)
    try:
        arrays = read_npz(file)
    except UnreadableFileError as error:
        raise InputError(
            f"The truth '{file}' cannot be read as npz: {error.reason}; give a truth.npz or a run."
        ) from None
    for key in ("is_right", "joints", "times_s"):
        if key not in arrays:
            raise InputError(f"The truth '{file}' lacks '{key}'; truth.npz has is_right, joints, times_s.")
    stored = Fields(arrays, file, "a truth")
    joints = stored.array("joints", ("H", "T", 21, 3), low=-METERS, high=METERS, allow_nan=True)
    if 0 in joints.shape:
        raise stored.wrong("joints", "holds no hands or no frames")
    times_s = stored.array("times_s", ("T",), low=-SECONDS, high=SECONDS)
    if (np.diff(times_s) <= 0).any():
        raise stored.wrong("times_s", "does not rise from frame to frame")
    meshes = ("H", "T", "V", 3)
    return Truth(
        is_right=stored.flags("is_right", ("H",)),
        joints_m=joints,
        valid=np.isfinite(joints).all((-1, -2)),
        times_s=times_s,
        vertices_m=stored.array("vertices", meshes, low=-METERS, high=METERS, allow_nan=True)
        if "vertices" in stored
        else None,
        visible=stored.flags("visibility", ("H", "T", 21)) if "visibility" in stored else None,
        joint_valid=stored.flags("joint_valid", ("H", "T", 21)) if "joint_valid" in stored else None,
        world_from_camera=stored.array("world_from_camera", ("T", 4, 4), low=-METERS, high=METERS)
        if "world_from_camera" in stored
        else None,
    )


def of_sequence(sequence: Sequence, vertices: int) -> Truth:
    """Read a dataset's sequence as a truth; frames that are not annotated are NaN. Raises InputError as its reader.

    Meshes are left out, and `meshes_elsewhere` set, when they have another number of vertices than the hand model in
    use: then the joints alone can be scored.
    """
    truth = sequence.truth()
    known = truth.valid if truth.joint_valid is None else truth.joint_valid.any(-1)
    if not known.any():
        why = ""
        if truth.broken:
            path, reason = truth.broken[0]
            why = f"; {len(truth.broken)} annotations are no good, the first: '{path}' {reason}"
        raise InputError(f"No frame of '{sequence.name}' is annotated{why}.")
    fits = truth.vertices_m is not None and truth.vertices_m.shape[2] == vertices
    return replace(
        truth,
        joints_m=np.where(known[..., None, None], truth.joints_m, np.nan),
        times_s=np.asarray(sequence.times_s),
        vertices_m=truth.vertices_m if fits else None,
        meshes_elsewhere=not fits,
    )
