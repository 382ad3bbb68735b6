"""The family `exporters`: writers of a result in another program's format, and their options.

Options are one record, so that a new one changes no exporter.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from hmpfit.errors import InputError
from hmpfit.hands.model import HandModels
from hmpfit.progress import Progress, Silent
from hmpfit.records import Floats
from hmpfit.results.npz import StoredResult


@dataclass(frozen=True)
class ExportOptions:
    """Options of exporters; every field has a value that suits a run folder without further files."""

    frame: str = "camera"  # "camera" or "world": the frame that the result was moved to
    camera_pose: Floats | None = None  # [T, 4, 4] camera in that frame; None is the identity, the camera's own frame
    variant: str | None = None  # what follows the colon: "allegro" of robot:allegro
    bones: str = "mano"  # bone names of GLB, BVH and USD, one of `bone_names.BONE_NAMES`
    merge_into: Path | None = None  # a body result that takes the hands
    video: Path | None = None  # the clip itself
    first_frame: int = 0  # of the clip, where frame 0 of the result lies
    mirrored: bool = False  # the clip is a mirror image, which the run turned back
    task: str = "Move the hands as in the video."  # the sentence that describes an episode
    progress: Progress = field(default_factory=Silent)

    def camera_poses(self, frames: int) -> Floats:
        """Return the poses [T, 4, 4] of the camera in the exported frame."""
        if self.camera_pose is None:
            return np.broadcast_to(np.eye(4), (frames, 4, 4))
        return np.broadcast_to(self.camera_pose, (frames, 4, 4))

    def need_camera_frame(self, name: str) -> None:
        """Raise InputError when a format of single images is written in another frame."""
        if self.frame != "camera":
            raise InputError(f"--to {name} is defined in the camera's frame; leave out --frame {self.frame}.")


DEFAULTS = ExportOptions()


class WriteResult(Protocol):
    """An exporter: a plain function."""

    def __call__(self, result: StoredResult, models: HandModels, out: Path, options: ExportOptions) -> list[Path]:
        """Write a result below the folder `out` (or to `out` itself, a file of the format) and return the files.

        Raises InputError for a result that the format cannot hold, MissingExtraError for a library that is missing.
        """
