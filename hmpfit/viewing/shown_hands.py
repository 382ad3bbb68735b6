"""The hands of one result in a viser scene: meshes, joints colored by status and deviation, bones, and labels.

Separate from the viewer, which may show two results at once.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.exporters.animation import hand_labels, hand_vertices
from hmpfit.hands.model import HandModels
from hmpfit.records import DETECTED, STATUS_NAMES, Floats
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import BONES

SURE_MM, UNSURE_MM = 5.0, 40.0  # green and red ends of the joints' colors
_POINT_M, _BONE_M = 0.003, 0.003
_MESH_OPACITY, _UNSEEN_OPACITY = 0.9, 0.45

Color = tuple[int, int, int]


class ShownHands:
    """Meshes, joints and bones of a result's hands, shown one frame at a time, moved sideways as a whole if wanted."""

    def __init__(
        self,
        scene: Any,
        result: StoredResult,
        models: HandModels,
        colors: tuple[Color, Color],
        first_frame: int,
        name: str,
    ) -> None:
        """Add the hands below `name`; `colors` are those of right and left hands."""
        self.result, self.first_frame, self.labels = result, first_frame, hand_labels(result)
        self._vertices = hand_vertices(result, models)
        self._shift = np.zeros(3, np.float32)
        self.meshes: dict[str, Any] = {}
        self.joints: dict[str, Any] = {}
        self.bones: dict[str, Any] = {}
        for hand, label in enumerate(self.labels):
            right = bool(result.motion.is_right[hand])
            faces = models.side(right).faces if right else models.side(right).faces[:, ::-1]
            points, color = result.joints[hand, 0].astype(np.float32), colors[0 if right else 1]
            at = f"{name}/{label}_hand"
            self.meshes[label] = scene.add_mesh_simple(
                f"{at}/mesh", self._vertices[hand, 0].astype(np.float32), faces, color=color, side="double"
            )
            self.joints[label] = scene.add_point_cloud(
                f"{at}/joints", points, (0, 200, 0), point_size=_POINT_M, point_shape="circle", precision="float32"
            )
            self.bones[label] = scene.add_line_segments(
                f"{at}/bones", points[np.array(BONES)], color, thickness=_BONE_M
            )

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return len(self.result.tracks.times_s)

    def move(self, shift_m: Sequence[float]) -> None:
        """Show the hands so much beside their place from the next frame on."""
        self._shift = np.asarray(shift_m, np.float32)

    def show(self, source_frame: int, visible: bool = True, meshes: bool = True) -> None:
        """Show the hands at a frame of the source, nothing where the result does not reach or not `visible`."""
        frame = source_frame - self.first_frame
        inside = visible and 0 <= frame < self.frames
        for hand, label in enumerate(self.labels):
            self.meshes[label].visible = inside and meshes
            self.joints[label].visible = self.bones[label].visible = inside
            if not inside:
                continue
            joints = self.result.joints[hand, frame].astype(np.float32) + self._shift
            seen = self.result.motion.status[hand, frame] == DETECTED
            self.meshes[label].vertices = self._vertices[hand, frame].astype(np.float32) + self._shift
            self.meshes[label].opacity = _MESH_OPACITY if seen else _UNSEEN_OPACITY
            self.joints[label].points = joints
            self.joints[label].colors = uncertainty_colors(self.result.from_wrist_mm[hand, frame])
            self.bones[label].points = joints[np.array(BONES)]

    def words(self, source_frame: int) -> list[str]:
        """Return a line a hand: its status, and how well its joints are known."""
        frame, lines = source_frame - self.first_frame, []
        if not 0 <= frame < self.frames:
            return ["not in this run"]
        for hand, label in enumerate(self.labels):
            status = STATUS_NAMES[int(self.result.motion.status[hand, frame])]
            std_mm = float(np.median(self.result.from_wrist_mm[hand, frame, 1:]))
            known = f", joints known to {std_mm:.1f} mm" if np.isfinite(std_mm) else ""
            lines.append(f"{label} hand: {status}{known}")
        return lines


def uncertainty_colors(std_mm: Floats) -> NDArray[np.uint8]:
    """Return RGB [21, 3] from green (sure) over yellow to red (unsure); gray where nothing is known."""
    share = np.clip((std_mm - SURE_MM) / (UNSURE_MM - SURE_MM), 0, 1)
    ramp = np.stack((np.minimum(2 * share, 1) * 230, np.minimum(2 - 2 * share, 1) * 200, 60 + 0 * share), axis=-1)
    return np.where(np.isfinite(std_mm)[:, None], np.nan_to_num(ramp), 150).astype(np.uint8)
