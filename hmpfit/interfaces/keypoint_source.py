"""The family `keypoints`: where the 2D evidence of the fit comes from (`--keypoints NAME`)."""

from dataclasses import dataclass
from typing import Literal, Protocol

from hmpfit.interfaces.context import InputFiles, RunContext, no_files
from hmpfit.interfaces.initializer import InitialMotion
from hmpfit.records import KeypointTracks

Requirement = Literal["detector", "initial"]


@dataclass(frozen=True)
class SourceInputs:
    """Inputs of a source that is no detector of its own; None where it does not require them."""

    detected: KeypointTracks | None = None  # tracks of the source `mediapipe`
    initial: InitialMotion | None = None


class ExtractKeypoints(Protocol):
    """The function of a keypoint source."""

    def __call__(self, context: RunContext, inputs: SourceInputs) -> KeypointTracks:
        """Return one row per hand over the clip's frames, pixels, OpenPose order; nothing in `context.hidden` frames.

        Raises NoHandError when no hand is found and InputError for input that cannot be used.
        """


@dataclass(frozen=True)
class KeypointSource:
    """A keypoint source. One that requires nothing is a detector of its own: an initializer may start from it.

    A source that requires "initial" returns its rows in the order of the initial motion's hands; the rows of any other
    are matched to them. `files` names the files that decide the result, so that a changed file is noticed. The `shared`
    detector is the one whose tracks other sources, initializers and the focal length build on.
    """

    extract: ExtractKeypoints
    requires: frozenset[Requirement] = frozenset()
    files: InputFiles = no_files
    shared: bool = False
