"""The record of a hand model: the arrays of a MANO-schema file, checked and always in right-hand form.

Separate from the readers and from the forward pass, which share nothing else.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class HandModel:
    """One hand in MANO's canonical frame, as a right hand: fingers along -x, palm towards -y, thumb towards +z.

    V comes from the file; nothing assumes 778. Meters; float64. A left-hand file is held as its mirror image.
    """

    name: str
    v_template: Floats  # [V, 3]
    faces: NDArray[np.int64]  # [F, 3]
    shapedirs: Floats  # [V, 3, 10]
    posedirs: Floats  # [135, V * 3] on (R - I) of the fifteen finger joints, smplx's layout
    J_regressor: Floats  # [16, V]
    weights: Floats  # [V, 16]
    hands_mean: Floats  # [45] absolute axis-angle
    hands_components: Floats  # [45, 45]
    tip_vertices: NDArray[np.int64]  # [5] thumb, index, middle, ring, pinky
    landmark_offsets: Floats  # [21, 3] OpenPose order, from joint or tip to the detector's landmark, joint's frame
    fingerprint: str
    licence: str

    @property
    def rest_joints(self) -> Floats:
        """Joints [16, 3] of the mean shape in the rest pose, MANO-16 order."""
        return self.J_regressor @ self.v_template


@dataclass(frozen=True)
class HandModels:
    """The models of both sides; `left` is in right-hand (mirrored) form, and is `right` itself if there is one file."""

    right: HandModel
    left: HandModel

    def side(self, is_right: bool) -> HandModel:
        """Return the model of a right or left hand, in right-hand form."""
        return self.right if is_right else self.left


class LoadHandModels(Protocol):
    """A plug-in of the family `hand_models`: a function without arguments (`--hand-model NAME`)."""

    def __call__(self) -> HandModels:
        """Return the hands of both sides; `fingerprint` identifies the model."""
