"""The world of a truth clip: a room and the path of the camera through it, as `clips.py` needs them.

Separate from `camera_paths` and `room`, which do not know each other.
"""

from dataclasses import dataclass

import numpy as np

from hmpfit.geometry.rigid_transforms import apply, interpolate
from hmpfit.records import Camera, Floats
from hmpfit.synthesis.camera_paths import sample_camera_path
from hmpfit.synthesis.room import Image, Room, sample_room

_STATUS = {"static": "static", "pan": "rotation"}


@dataclass(frozen=True)
class Place:
    """A room with a camera path; world axes are those of the camera's nominal place, meters."""

    room: Room
    world_from_camera: Floats  # [T, 4, 4]
    carried_m: Floats  # [T, 3] how far the hands are carried with the person who holds the camera
    status: str  # "static", "rotation" or "moving", as `camera_status` of a result

    def image(self, camera: Camera, frame: int, share: float) -> Image:
        """Return the picture of the room at a frame, or a share of the way to the next one."""
        pose = self.world_from_camera[frame]
        if share and frame + 1 < len(self.world_from_camera):
            both = self.world_from_camera[frame : frame + 2]
            pose = interpolate(both, np.array([0.0, 1.0]), np.array([share]))[0]
        return self.room.image(camera, pose)


def sample_place(kind: str, frames: int, fps: float, generator: np.random.Generator) -> Place:
    """Draw a room and a camera path of one of `camera_paths.KINDS`. Raises UnknownNameError for another kind."""
    path = sample_camera_path(kind, frames, fps, generator)
    room = sample_room(path.world_from_camera, generator)
    return Place(room, path.world_from_camera, path.carried_m, _STATUS.get(kind, "moving"))


def world_truth(joints: Floats, place: Place | None) -> dict[str, Floats]:
    """Return the truth file's arrays of the world: joints [H, T, 21, 3] before the camera, and its path."""
    path = np.repeat(np.eye(4)[None], joints.shape[1], axis=0) if place is None else place.world_from_camera
    return {
        "world_from_camera": path,
        "joints_world": apply(path[None], joints),
        "camera_status": np.array("static" if place is None else place.status),
        "scale_std": np.array(0.0),
    }
