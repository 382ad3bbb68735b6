"""The family `initializers`: where the fit starts (`--init NAME`)."""

from dataclasses import dataclass
from typing import Literal, Protocol

from hmpfit.interfaces.context import InputFiles, RunContext, no_files
from hmpfit.records import HandMotion, KeypointTracks


@dataclass(frozen=True)
class InitialMotion:
    """A first guess for all frames; `keypoints` are the initializer's own 2D joints, where it has any, row for row."""

    motion: HandMotion
    keypoints: KeypointTracks | None = None
    evidence: KeypointTracks | None = None  # the detector's and its own joints as one, where it can judge both


class Initialize(Protocol):
    """The function of an initializer."""

    def __call__(self, context: RunContext, tracks: KeypointTracks | None) -> InitialMotion:
        """Return a motion in the camera's frame, meters, with every frame filled (`initializers.gaps.fill_gaps`).

        `tracks` are None where nothing was required and no source has any. Raises NoHandError when no hand could be
        placed, and InputError.
        """


@dataclass(frozen=True)
class Initializer:
    """An initializer and which tracks it requires: any, ones with 3D landmarks, or none.

    `files` names the files that decide the result, so that a changed file is noticed.
    """

    initialize: Initialize
    requires: Literal["landmarks_3d", "tracks", "nothing"] = "tracks"
    files: InputFiles = no_files
