"""The overlay, a video or a picture: fitted hands over the frames, with what is known about them in sight.

Mesh color tells the side and pales where the hand was not detected; dots are the evidence, as large and as strong as
its confidence; the strip at the bottom is the status over time with a cursor. Streams, so any length fits in memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.cameras import project
from hmpfit.geometry.rigid_transforms import apply
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.process_copies import side_by_side
from hmpfit.records import DETECTED, INTERPOLATED, STATUS_NAMES, Camera, FitRecord, Floats, HandMotion, hand_names
from hmpfit.skeleton import OPENPOSE_WRIST
from hmpfit.synthesis.renderer import render
from hmpfit.synthesis.shading import Mesh
from hmpfit.video.ahead import WriteBehind, read_ahead
from hmpfit.video.clip import Clip
from hmpfit.video.joining import join_videos
from hmpfit.video.writer import VideoWriter
from hmpfit.viewing.drawing import bone_width_px, draw_bones, draw_contour, draw_dots, draw_legend, draw_tag
from hmpfit.viewing.map_chart import MapInset
from hmpfit.viewing.turning_view import TurningView

LONGEST_SIDE_PX = 1280
LONGEST_SIDE_OF_TWO_PX = 960  # each, of two pictures side by side
LONGEST_SIDE_OF_A_PHOTO_PX = 2048
RIGHT_RGB, LEFT_RGB = (250, 60, 170), (50, 150, 255)  # far from skin and from each other
STATUS_RGB = ((225, 70, 70), (245, 200, 60), (90, 200, 110))  # extrapolated, interpolated, detected
_CHUNK = 16  # frames whose vertices are in memory at once
_LEAST_PART = 64  # frames, of a part that is drawn and encoded on its own
_STRIP_PX = 7
_PALE, _GRAY = 245.0, 60.0  # mixed into a side's color, which must not come near skin
_JPEG_QUALITY = 92
_PRESET, _CRF, _MORE = "superfast", 25, "weightp=0:b-adapt=0:b-pyramid=none:aq-mode=0"  # of x264
_SMOOTH_BELOW_PX = 100  # longer side of a hand's box, from which one sample a pixel will do, blurred

Image = NDArray[np.uint8]


def write_overlay(
    path: str | Path,
    clip: Clip,
    result: FitRecord,
    models: HandModels,
    mesh: bool = True,
    opacity: float = 0.55,
    on_frame: Callable[[int, int], None] | None = None,
    layout: str = "overlay",
    workers: int | None = None,
) -> None:
    """Write the clip with the fitted hands over it: H.264, the longer side at most 1280, the clip's own timestamps.

    `layout` is one of `LAYOUTS`: the overlay alone, the clip beside it, or a view that turns around the hands beside it
    (each picture's longer side at most 960). `mesh` False draws the skeleton alone. `on_frame(done, total)` is called
    after each frame. Both halves are drawn side by side where `workers` (default: one a core) lets them; the file is
    the same. Raises RunFolderError when the file cannot be written.
    """
    path, drawing = Path(path), _Overlay.of(clip, result, models, mesh, opacity, layout)
    bounds = [0, clip.frames // 2, clip.frames] if clip.frames >= 2 * _LEAST_PART else [0, clip.frames]
    parts = [path.with_name(f".{path.stem}.{n}{path.suffix}") for n in range(len(bounds) - 1)]
    done = 0

    def count(_: None) -> None:
        nonlocal done
        done += 1
        if on_frame is not None:
            on_frame(done, clip.frames)

    try:
        side_by_side([partial(drawing.write, *one) for one in zip(parts, bounds, bounds[1:])], count, workers)
        join_videos(path, parts, [float(clip.times_s[start] - clip.times_s[0]) for start in bounds[:-1]])
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Overlay:
    """What is drawn of a clip's overlay, of any of its frames."""

    clip: Clip
    result: FitRecord
    models: HandModels
    mesh: bool
    opacity: float
    layout: str
    scale: float  # of the clip's pixels

    @classmethod
    def of(
        cls, clip: Clip, result: FitRecord, models: HandModels, mesh: bool, opacity: float, layout: str
    ) -> "_Overlay":
        longest = LONGEST_SIDE_PX if layout == "overlay" else LONGEST_SIDE_OF_TWO_PX
        return cls(clip, result, models, mesh, opacity, layout, min(1.0, longest / max(clip.width, clip.height)))

    def write(self, path: Path, start: int, stop: int, send: Callable[[None], None]) -> None:
        """Write the frames start..stop as a video of their own that begins at 0, and `send` None after each."""
        clip, result, layout = self.clip, self.result, self.layout
        width, height = (max(2, round(side * self.scale)) for side in (clip.width, clip.height))
        whole = width if layout == "overlay" else 2 * width
        strip, inset, legend = _status_strip(result.motion, whole), _map(result), _legend(result.motion)
        posed = _posed(result, self.models, self.mesh or layout == "turntable", start, stop)
        turning = TurningView(result, self.models, width, height, hand_color) if layout == "turntable" else None
        video_writer = VideoWriter(path, clip.fps, whole, height, _CRF, _PRESET, _MORE, threads=1)
        with video_writer as video, WriteBehind() as behind:
            for frame, image in read_ahead(clip.images(start, stop)):
                image, vertices = _resized(image, width, height), next(posed)
                raw = image.copy() if layout == "side-by-side" else None
                draw_frame(image, result, frame, vertices, self.models, self.scale, self.opacity, self.mesh)
                draw_legend(image, legend)
                if inset is not None:
                    inset.draw(image, frame)
                image = _beside(raw, image, turning, frame, vertices)
                _draw_strip(image, strip, frame, clip.frames)
                behind(video.write, image, float(clip.times_s[frame] - clip.times_s[start]))
                send(None)


def _resized(image: Image, width: int, height: int) -> Image:
    import cv2

    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _beside(raw: Image | None, drawn: Image, turning: TurningView | None, frame: int, vertices: Floats | None) -> Image:
    """Return the pictures that a layout has, side by side."""
    if raw is not None:
        return np.concatenate((raw, drawn), axis=1)
    if turning is not None and vertices is not None:
        return np.concatenate((drawn, turning.draw(frame, vertices)), axis=1)
    return drawn


def _map(result: FitRecord) -> MapInset | None:
    """Return a map of the camera's path and the wrists', where the camera moves through a known world."""
    found = result.camera_motion
    if found is None or not found.known or np.ptp(found.world_from_camera[:, :3, 3], axis=0).max() == 0:
        return None
    path = found.world_from_camera
    wrists = apply(path[None], result.joints[:, :, OPENPOSE_WRIST : OPENPOSE_WRIST + 1])[:, :, 0]
    return MapInset(path[:, :3, 3], wrists, [RIGHT_RGB if right else LEFT_RGB for right in result.motion.is_right])


def write_overlay_picture(
    path: str | Path, clip: Clip, result: FitRecord, models: HandModels, layout: str = "overlay"
) -> None:
    """Write the one frame of a photo with the fitted hands over it as JPEG, each picture's longer side at most 2048.

    `layout` as in `write_overlay`; the view around the hands looks from the side. Raises OSError when the file cannot
    be written.
    """
    import cv2

    scale = min(1.0, LONGEST_SIDE_OF_A_PHOTO_PX / max(clip.width, clip.height))
    width, height = max(1, round(clip.width * scale)), max(1, round(clip.height * scale))
    image = np.ascontiguousarray(_resized(next(clip.images())[1], width, height))
    raw = image.copy() if layout == "side-by-side" else None
    vertices = next(_posed(result, models, True, 0, 1))
    turning = TurningView(result, models, width, height, hand_color) if layout == "turntable" else None
    draw_frame(image, result, 0, vertices, models, scale)
    image = _beside(raw, image, turning, 0, vertices)
    done, content = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert done
    Path(path).write_bytes(content.tobytes())


def draw_frame(
    image: Image,
    result: FitRecord,
    frame: int,
    vertices: Floats | None,
    models: HandModels,
    scale: float = 1.0,
    opacity: float = 0.55,
    mesh: bool = True,
) -> None:
    """Draw the hands of one frame onto an RGB image (the clip's size times `scale`), in place.

    `vertices` [H, V, 3] in camera-frame meters, or None for the skeleton alone.
    """
    motion = result.motion
    depth = result.joints[:, frame, OPENPOSE_WRIST, 2]
    names = [name.replace("right", "R").replace("left", "L") for name in hand_names(motion.is_right)]
    for hand in np.argsort(-depth, kind="stable"):
        status = int(motion.status[hand, frame])
        color = hand_color(bool(motion.is_right[hand]), status)
        if mesh and vertices is not None:
            faces = models.side(bool(motion.is_right[hand])).faces
            faces = faces if motion.is_right[hand] else faces[:, ::-1]
            points = _undistorted_like(vertices[hand], result.camera, frame)
            K = _K(result.camera, frame) * np.array([[scale], [scale], [1.0]])
            small = np.ptp(result.landmarks_px[hand, frame] * scale, axis=0).max() < _SMOOTH_BELOW_PX
            height, width = image.shape[:2]
            drawing = render([Mesh(points, faces, color / 255)], K, width, height, smooth=bool(small))
            drawing = drawing if small else drawing.blurred()
            drawing.over(image, opacity if status == DETECTED else 0.7 * opacity)
            draw_contour(image, drawing, color)
        ink, thickness_px = (None, bone_width_px(image)) if mesh else (color, 2)
        draw_bones(image, result.landmarks_px[hand, frame] * scale, ink, thickness_px)
        draw_dots(image, result.tracks.xy_px[hand, frame] * scale, result.tracks.confidence[hand, frame])
    for hand, name in enumerate(names):  # last, so that no hand covers the name of one behind it
        status = int(motion.status[hand, frame])
        text = name if status == DETECTED else f"{name} {STATUS_NAMES[status]}"
        wrist_px = result.landmarks_px[hand, frame, OPENPOSE_WRIST] * scale
        draw_tag(image, wrist_px, text, RIGHT_RGB if motion.is_right[hand] else LEFT_RGB)


def hand_color(is_right: bool, status: int) -> NDArray[np.float64]:
    """Return RGB 0..255: the side's color, paler where the hand was interpolated, grayer where extrapolated."""
    side = np.array(RIGHT_RGB if is_right else LEFT_RGB, dtype=float)
    if status == DETECTED:
        return side
    return 0.7 * side + 0.3 * (_PALE if status == INTERPOLATED else _GRAY)


def _posed(result: FitRecord, models: HandModels, mesh: bool, start: int, stop: int) -> Iterator[Floats | None]:
    """Yield the vertices [H, V, 3] of the frames start..stop, one after the other."""
    for first in range(start, stop, _CHUNK):
        part = slice(first, min(first + _CHUNK, stop))
        if not mesh:
            yield from [None] * (part.stop - first)
            continue
        vertices = pose_hands(models, _frames(result.motion, part), vertices=True).vertices
        assert vertices is not None
        yield from np.moveaxis(vertices, 1, 0)


def _frames(motion: HandMotion, part: slice) -> HandMotion:
    per_frame = ("global_orient", "hand_pose", "transl", "status")
    changes: dict[str, Any] = {name: getattr(motion, name)[:, part] for name in per_frame}
    return replace(motion, **changes)


def _K(camera: Camera, frame: int) -> Floats:
    return camera.K[frame if len(camera.K) > 1 else 0]


def _undistorted_like(points: Floats, camera: Camera, frame: int) -> Floats:
    """Move points sideways so that the plain pinhole shows them where the distorting lens does."""
    if camera.distortion is None:
        return points
    import torch

    K = _K(camera, frame)
    xy_px = project(torch.as_tensor(points), torch.as_tensor(K), torch.as_tensor(camera.distortion)).numpy()
    homogeneous = np.concatenate((xy_px, np.ones_like(xy_px[:, :1])), axis=1) @ np.linalg.inv(K).T
    return homogeneous * points[:, 2:]


def _status_strip(motion: HandMotion, width: int) -> Image | None:
    """Return the timeline [rows, width, 3]: a band a hand, colored by status, its side's at the left."""
    if len(motion.is_right) == 0:
        return None
    frames = motion.status.shape[1]
    columns = np.minimum(np.arange(width) * frames // width, frames - 1)
    bands = []
    for status, is_right in zip(motion.status, motion.is_right):
        band = np.repeat(np.array(STATUS_RGB, np.uint8)[status[columns]][None], _STRIP_PX, axis=0)
        band[:, :10] = RIGHT_RGB if is_right else LEFT_RGB
        band[0] = 0
        bands.append(band)
    return np.concatenate(bands)


def _legend(motion: HandMotion) -> list[tuple[str, tuple[int, int, int]]]:
    """Return the names and colors of what the video shows: sides, and the statuses of the strip."""
    sides = [("right hand", RIGHT_RGB)] * bool(motion.is_right.any()) + [("left hand", LEFT_RGB)] * bool(
        (~motion.is_right).any()
    )
    used = [code for code in (2, 1, 0) if (motion.status == code).any()]
    return sides + [(STATUS_NAMES[code], STATUS_RGB[code]) for code in used]


def _draw_strip(image: Image, strip: Image | None, frame: int, frames: int) -> None:
    if strip is None or len(strip) >= image.shape[0]:
        return
    part = image[-len(strip) :]
    part[:] = strip
    x = int((frame + 0.5) * image.shape[1] / frames)
    part[:, max(x - 1, 0) : x + 2] = 255
