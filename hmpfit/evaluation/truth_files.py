"""What is true about a clip, as the metrics take it: from a `truth.npz`, from another result, or from a dataset.

Separate from the scoring, so that a new source of truth is one function here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.schemas import METERS, SECONDS, Fields

if TYPE_CHECKING:
    from hmpfit.interfaces.dataset import Sequence

Points = NDArray[np.floating]
Bools = NDArray[np.bool_]

OCCLUDED_SHARE = 0.3  # of a hand's joints hidden: frames above it are the occlusion subset


@dataclass(frozen=True)
class TruthFile:
    """A truth: hands H, frames T; camera axes, meters, joints in OpenPose order."""

    is_right: Bools  # [H]
    joints: Points  # [H, T, 21, 3], NaN where not known
    times_s: Points  # [T]
    vertices: Points | None = None  # [H, T, V, 3]
    visible: Bools | None = None  # [H, T, 21]
    joint_valid: Bools | None = None  # [H, T, 21] where single joints may lack an annotation
    broken: tuple[tuple[str, str], ...] = ()  # (path, reason) of frames whose annotation could not be read
    world_from_camera: Points | None = None  # [T, 4, 4] where the truth knows the camera's path
    meshes_elsewhere: bool = False  # the dataset has meshes, of a hand model that is not in use

    @property
    def fps(self) -> float:
        """Mean frame rate of the time stamps."""
        return float((len(self.times_s) - 1) / (self.times_s[-1] - self.times_s[0])) if len(self.times_s) > 1 else 30.0

    def annotated(self) -> Bools:
        """Return the joints [H, T, 21] that are known."""
        finite = np.isfinite(self.joints).all(-1)
        return finite if self.joint_valid is None else finite & self.joint_valid

    def occluded(self) -> Bools:
        """Return the frames [H, T] in which more than `OCCLUDED_SHARE` of the joints are hidden."""
        if self.visible is None:
            return np.zeros(self.joints.shape[:2], dtype=bool)
        return (~self.visible).mean(-1) > OCCLUDED_SHARE


def read_truth(path: Path) -> TruthFile:
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
    return TruthFile(
        is_right=stored.flags("is_right", ("H",)),
        joints=joints,
        times_s=times_s,
        vertices=stored.array("vertices", meshes, low=-METERS, high=METERS, allow_nan=True)
        if "vertices" in stored
        else None,
        visible=stored.flags("visibility", ("H", "T", 21)) if "visibility" in stored else None,
        joint_valid=stored.flags("joint_valid", ("H", "T", 21)) if "joint_valid" in stored else None,
        world_from_camera=stored.array("world_from_camera", ("T", 4, 4), low=-METERS, high=METERS)
        if "world_from_camera" in stored
        else None,
    )


def of_sequence(sequence: "Sequence", vertices: int) -> TruthFile:
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
    return TruthFile(
        is_right=truth.is_right,
        joints=np.where(known[..., None, None], truth.joints_m, np.nan),
        times_s=np.asarray(sequence.times_s),
        vertices=truth.vertices_m if fits else None,
        visible=truth.visible,
        joint_valid=truth.joint_valid,
        broken=truth.broken,
        world_from_camera=truth.world_from_camera,
        meshes_elsewhere=not fits,
    )
