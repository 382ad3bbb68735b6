"""The hands alone, seen by a camera that orbits them: a still picture hides depth, a turning one shows it.

Separate from the overlay, which looks through the filming camera.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from hmpfit.geometry.rigid_transforms import apply
from hmpfit.hands.model import HandModels
from hmpfit.records import FitRecord, Floats
from hmpfit.skeleton import OPENPOSE_WRIST
from hmpfit.synthesis.renderer import pixels_and_depth, render
from hmpfit.synthesis.shading import Mesh

SECONDS_A_TURN = 8.0
STILL_TURN_DEGREES = 60.0  # of a photo, which cannot turn
_DOWN_DEGREES = 18.0
_CENTER_STD_S = 0.5  # the eye follows the hands so smoothly that their own motion stays visible
_RADII_AWAY, _FILLS = 4.0, 0.40  # of the picture's shorter side, by the radius that holds the hands
_MARGIN_M, _GRID_M, _GRID_RADII = 0.03, 0.1, 2.2
_TRAIL_S = 1.5
_BACKGROUND, _GRID_RGB, _TRAIL_RGB, _TEXT_RGB = (24, 26, 32), (62, 66, 76), (150, 155, 165), (200, 205, 215)

Image = NDArray[np.uint8]


class TurningView:
    """Draws frames of a result from an eye that turns once in eight seconds, over a grid of 10 cm."""

    def __init__(
        self,
        result: FitRecord,
        models: HandModels,
        width: int,
        height: int,
        color: Callable[[bool, int], NDArray[np.float64]],
    ) -> None:
        """`color` gives a hand's RGB 0..255 for its side and status. In the world where the camera's path is known."""
        motion = result.camera_motion
        self._path = motion.world_from_camera if motion is not None and motion.known else None
        self._motion, self._models, self._color = result.motion, models, color
        self._times_s = result.tracks.times_s - result.tracks.times_s[0]
        joints = result.joints if self._path is None else apply(self._path[None], result.joints)
        self._wrists = joints[:, :, OPENPOSE_WRIST]
        step_s = float(np.median(np.diff(self._times_s))) if len(self._times_s) > 1 else 1.0
        middle = (joints.min((0, 2)) + joints.max((0, 2))) / 2
        self._center = gaussian_filter1d(middle, _CENTER_STD_S / max(step_s, 1e-3), axis=0, mode="nearest")
        away = np.linalg.norm(joints - self._center[None, :, None], axis=-1)
        self._radius_m = float(np.percentile(away, 99)) + _MARGIN_M
        self._floor_m = float(np.percentile(joints[..., 1], 99)) + _MARGIN_M
        self._size = (width, height)
        focal = _FILLS * min(width, height) * _RADII_AWAY
        self._K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])

    def draw(self, frame: int, vertices: Floats) -> Image:
        """Return the picture [height, width, 3] of a frame; `vertices` [H, V, 3] in the filming camera's frame."""
        import cv2

        width, height = self._size
        image = np.full((height, width, 3), _BACKGROUND, np.uint8)
        turn = self._turn_degrees(frame)
        eye, rotation = self._eye(frame, turn)
        self._draw_grid(image, frame, eye, rotation)
        since = np.searchsorted(self._times_s, self._times_s[frame] - _TRAIL_S)
        for wrist in self._wrists:
            trail = pixels_and_depth((wrist[since : frame + 1] - eye) @ rotation.T, self._K)[:, :2]
            cv2.polylines(image, [trail.round().astype(np.int32)[:, None]], False, _TRAIL_RGB, 1, cv2.LINE_AA)
        meshes = []
        for hand, points in enumerate(vertices):
            right = bool(self._motion.is_right[hand])
            faces = self._models.side(right).faces
            points = points if self._path is None else apply(self._path[frame], points)
            tint = self._color(right, int(self._motion.status[hand, frame])) / 255
            meshes.append(Mesh((points - eye) @ rotation.T, faces if right else faces[:, ::-1], tint))
        if meshes:
            render(meshes, self._K, width, height).over(image)
        if min(width, height) >= 200:
            said = f"from {round(turn) % 360} deg, grid {_GRID_M * 100:.0f} cm"
            cv2.putText(image, said, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _TEXT_RGB, 1, cv2.LINE_AA)
        return image

    def _turn_degrees(self, frame: int) -> float:
        if len(self._times_s) == 1:
            return STILL_TURN_DEGREES
        return float(360 * self._times_s[frame] / SECONDS_A_TURN)

    def _eye(self, frame: int, turn_degrees: float) -> tuple[Floats, Floats]:
        """Return the eye's place [3] and the rotation [3, 3] of its axes (x right, y down, z forward)."""
        turn, down = np.deg2rad((turn_degrees, _DOWN_DEGREES))
        back = np.array([np.sin(turn) * np.cos(down), -np.sin(down), -np.cos(turn) * np.cos(down)])
        right = np.cross((0.0, 1.0, 0.0), -back)
        right /= np.linalg.norm(right)
        eye: Floats = self._center[frame] + _RADII_AWAY * self._radius_m * back
        return eye, np.stack((right, np.cross(-back, right), -back))

    def _draw_grid(self, image: Image, frame: int, eye: Floats, rotation: Floats) -> None:
        """Draw a floor of 10 cm squares that stands still while hands move over it."""
        import cv2

        x, _, z = self._center[frame]
        reach = _GRID_RADII * self._radius_m
        for fixed, moving in ((0, 2), (2, 0)):
            middle, along = (x, z) if fixed == 0 else (z, x)
            first, last = np.ceil((middle - reach) / _GRID_M), np.floor((middle + reach) / _GRID_M)
            for place in _GRID_M * np.arange(first, last + 1):
                ends = np.full((2, 3), self._floor_m)
                ends[:, fixed], ends[:, moving] = place, (along - reach, along + reach)
                a, b = pixels_and_depth((ends - eye) @ rotation.T, self._K)[:, :2].round().astype(int).tolist()
                cv2.line(image, a, b, _GRID_RGB, 1, cv2.LINE_AA)
