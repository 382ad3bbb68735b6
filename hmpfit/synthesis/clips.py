"""Ground-truth clips: a motion rendered to `clip.mp4`, and everything that is true about it in `truth.npz`.

Separate from the renderer (any mesh) and from the motion (no pixels). The frames are those of a plain camera: a
textured background or a room with depth (`room.py`), skin, a lamp, sensor noise, H.264.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmpfit.files.replacing import replace_file
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModel, HandModels
from hmpfit.hands.watertight import open_rims
from hmpfit.records import Camera, Floats, HandMotion
from hmpfit.skeleton import OPENPOSE_21, OPENPOSE_PALM
from hmpfit.synthesis.places import Place, world_truth
from hmpfit.synthesis.renderer import Drawing, pixels_and_depth, render
from hmpfit.synthesis.shading import Light, Mesh
from hmpfit.video.writer import VideoWriter

CLIP_NAME, TRUTH_NAME = "clip.mp4", "truth.npz"
SCHEMA = "hmpfit.result.1"  # the keys of `result.npz`, plus vertices and visibility

_FINGER_FLESH_M, _PALM_FLESH_M = 0.014, 0.032  # how deep a joint may lie below the surface that hides it
_CRF = 18
_SUBFRAMES = 3  # of an open shutter
_FOREARM_M, _FOREARM_RINGS, _FOREARM_WIDENING = 0.24, 6, 1.25

Image = NDArray[np.uint8]
DAYLIGHT = Light()


@dataclass(frozen=True)
class Appearance:
    """How a clip looks. Colors are RGB in 0..1; the noise is in gray levels; the drift in pixels a second.

    `shutter` is the share of a frame's time that the shutter is open (0: no motion blur), `crf` x264's quality.
    """

    skin: tuple[float, float, float] = (0.86, 0.64, 0.53)
    skins: tuple[tuple[float, float, float], ...] = ()  # one a hand, instead of `skin`
    light: Light = DAYLIGHT
    noise: float = 2.0
    drift_px: float = 0.0
    shutter: float = 0.0
    crf: int = _CRF


def make_clip(
    folder: str | Path,
    motion: HandMotion,
    models: HandModels,
    camera: Camera,
    seed: int = 0,
    fps: float = 30.0,
    look: Appearance | None = None,
    others: Callable[[int], list[Mesh]] | None = None,
    on_frame: Callable[[int, int], None] | None = None,
    place: Place | None = None,
    drawn: Sequence[int] | None = None,
) -> tuple[Path, Path]:
    """Render a motion into `folder` and return the paths of `clip.mp4` and `truth.npz`.

    The motion is in the camera's frame; its K is [1, 3, 3] and it has no distortion. The same seed gives the same
    pixels. `others` gives the meshes of a frame that are no hands (`occluders.py`). `on_frame(done, total)` reports
    progress. `place` is the world of a moving camera; without it the camera is still, before a flat backdrop. `drawn`
    are the hands of the motion that the clip shows (default: all); what they and the surroundings look like does not
    depend on it. Raises RunFolderError when the clip cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    look = look or Appearance()
    generator = np.random.default_rng(seed)
    times_s = np.arange(motion.transl.shape[1]) / fps
    sides = [(models.side(bool(is_right)), bool(is_right)) for is_right in motion.is_right]
    skins = look.skins or (look.skin,) * len(sides)
    arms = [
        Arm.of(model, is_right, skin_colors(model, skin, generator))
        for (model, is_right), skin in zip(sides, skins, strict=True)
    ]
    if drawn is not None:
        motion, arms = motion.select_hands(np.array(drawn)), [arms[hand] for hand in drawn]
    posed = pose_hands(models, motion, vertices=True)
    assert posed.vertices is not None
    frames = len(times_s)
    flat = None if place is not None else background(camera.width, camera.height, times_s, look, generator)
    noise = sensor_noise(camera.width, camera.height, look.noise, generator)
    visibility = np.zeros(posed.joints.shape[:3], dtype=bool)
    with VideoWriter(folder / CLIP_NAME, fps, camera.width, camera.height, crf=look.crf) as video:
        for frame in range(frames):
            things = [] if others is None else others(frame)
            behind = None if flat is None else next(flat)
            after = posed.vertices[:, min(frame + 1, frames - 1)]

            room_at = partial(_background_at, place, behind, camera, frame)
            exposed, drawing = _expose(posed.vertices[:, frame], after, arms, things, room_at, camera, look)
            visibility[:, frame] = visible(drawing, posed.joints[:, frame], camera)
            video.write(next(noise)(exposed), float(times_s[frame]))
            if on_frame is not None:
                on_frame(frame + 1, frames)
    world = world_truth(posed.joints, place)
    _write_truth(
        folder / TRUTH_NAME, motion, posed.joints, posed.vertices, visibility, camera, times_s, world
    )  # fmt: skip
    return folder / CLIP_NAME, folder / TRUTH_NAME


def _expose(
    hands: Floats, hands_after: Floats, arms: list["Arm"], things: list[Mesh], room_at: Callable[[float], Image],
    camera: Camera, look: Appearance,
) -> tuple[Image, Drawing]:  # fmt: skip
    """Return a frame's picture, the mean over its open shutter, and the first moment's drawing with depth.

    Hands [H, V, 3] move straight to where they are in the next frame; `room_at` gives the background at a share of it.
    """
    moments = np.arange(_SUBFRAMES if look.shutter else 1) / _SUBFRAMES * look.shutter
    total, first = np.zeros((camera.height, camera.width, 3), np.float32), None
    for share in moments.tolist():
        moved = hands + share * (hands_after - hands)
        meshes = [mesh for arm, hand in zip(arms, moved) for mesh in arm.meshes(hand)] + things
        drawn = render(meshes, camera.K[0], camera.width, camera.height, look.light, depth=first is None)
        picture = room_at(share)
        drawn.over(picture)
        total += picture
        first = first or drawn
    assert first is not None
    return (total / len(moments) + 0.5).astype(np.uint8), first


def _background_at(place: Place | None, flat: Image | None, camera: Camera, frame: int, share: float) -> Image:
    if place is not None:
        return place.image(camera, frame, share)
    assert flat is not None
    return flat.copy()


@dataclass(frozen=True)
class Arm:
    """One hand's surface and the forearm that continues its open end."""

    faces: NDArray[np.integer]  # [F, 3]
    tips: NDArray[np.integer]  # fingertip vertices
    rim: NDArray[np.int64]  # vertices around the open end, in order; empty when the hand is closed
    skin: Floats  # [V, 3]

    @classmethod
    def of(cls, model: HandModel, is_right: bool, skin: Floats) -> "Arm":
        """Find the open end of a hand model; a left hand's faces are turned, because its model is a right hand."""
        faces = model.faces if is_right else model.faces[:, ::-1]
        return cls(faces, np.asarray(model.tip_vertices), open_rim(faces), skin)

    def meshes(self, vertices: Floats) -> list[Mesh]:
        """Return the meshes of the posed hand [V, 3], camera-frame meters."""
        hand = Mesh(vertices, self.faces, self.skin)
        count = len(self.rim)
        if count < 3:
            return [hand]
        loop = vertices[self.rim]
        center = loop.mean(axis=0)
        along = np.linalg.svd(loop - center)[2][2]  # the normal of the plane that fits the rim
        along = along if along @ (center - vertices[self.tips].mean(axis=0)) > 0 else -along
        rings = [
            center + (loop - center) * (1 + (_FOREARM_WIDENING - 1) * share) + along * (_FOREARM_M * share)
            for share in np.linspace(0, 1, _FOREARM_RINGS)
        ]
        # The rim runs as the hand's faces do, so the faces that continue them pass its edges the other way.
        here, after = np.arange(count), np.roll(np.arange(count), -1)
        band = np.concatenate(
            (np.stack((after, here, here + count), axis=1), np.stack((after, here + count, after + count), axis=1))
        )
        faces = np.concatenate([band + count * ring for ring in range(_FOREARM_RINGS - 1)])
        return [hand, Mesh(np.concatenate(rings), faces, self.skin[self.rim].mean(axis=0))]


def open_rim(faces: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the vertices around the mesh's longest hole, in the order of its faces; empty when it is closed."""
    rims = open_rims(faces)
    return rims[0] if rims else np.array([], dtype=np.int64)


def visible(drawing: Drawing, joints: Floats, camera: Camera) -> NDArray[np.bool_]:
    """Return which joints [H, 21] can be seen: inside the picture, with no more than their own flesh before them."""
    out = np.zeros(joints.shape[:2], dtype=bool)
    if drawing.depth_m is None or drawing.depth_m.size == 0:
        return out
    flesh = np.full(len(OPENPOSE_21), _FINGER_FLESH_M)
    flesh[[*OPENPOSE_PALM, OPENPOSE_21.index("thumb1")]] = _PALM_FLESH_M
    for hand, points in enumerate(joints):
        xyz = pixels_and_depth(points, camera.K[0])
        inside = ((xyz[:, :2] >= 0) & (xyz[:, :2] < (camera.width, camera.height))).all(axis=1)
        height, width = drawing.depth_m.shape
        column = np.clip(np.floor(xyz[:, 0]).astype(int) - drawing.x, 0, width - 1)
        row = np.clip(np.floor(xyz[:, 1]).astype(int) - drawing.y, 0, height - 1)
        out[hand] = inside & (drawing.depth_m[row, column] > xyz[:, 2] - flesh)
    return out


def skin_colors(model: HandModel, skin: tuple[float, float, float], generator: np.random.Generator) -> Floats:
    """Return colors [V, 3]: the palm and the tips a little paler and redder, and soft blotches."""
    base = np.array(skin)
    rest = model.v_template
    low, high = rest.min(axis=0), rest.max(axis=0)
    share = (rest - low) / (high - low)
    palm = np.clip(1 - 2 * share[:, 1:2], 0, 1)  # the palm faces -y
    waves = generator.normal(0, 60, (8, 3))
    blotches = np.sin(rest @ waves.T + generator.uniform(0, 6.28, 8)).mean(axis=1, keepdims=True)
    return np.clip(base + palm * (0.05, 0.03, 0.03) + blotches * (0.03, 0.035, 0.03), 0, 1)


def background(
    width: int, height: int, times_s: Floats, look: Appearance, generator: np.random.Generator
) -> Iterator[Image]:
    """Yield a flat backdrop: soft patches, furniture-like boxes, grain; it drifts by `look.drift_px` a second."""
    import cv2

    margin = int(look.drift_px * (times_s[-1] + 1)) + 8
    size = (height + margin, width + margin)
    room = np.empty((*size, 3), np.float32)
    tint = generator.uniform(70, 150, 3)
    for channel in range(3):
        coarse = generator.normal(0, 1, (7, 9)).astype(np.float32)
        fine = generator.normal(0, 1, (size[0] // 6, size[1] // 6)).astype(np.float32)
        room[..., channel] = tint[channel] + 22 * cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
        room[..., channel] += 5 * cv2.resize(fine, size[::-1], interpolation=cv2.INTER_LINEAR)
    for _ in range(14):
        x, y = int(generator.integers(0, size[1])), int(generator.integers(0, size[0]))
        w, h = (int(side) for side in generator.integers(30, 200, 2))
        color = tuple(generator.uniform(30, 190, 3).tolist())
        box = room.copy()
        cv2.rectangle(box, (x, y), (x + w, y + h), color, -1)
        room = 0.6 * room + 0.4 * box
    still = np.clip(cv2.GaussianBlur(room, (0, 0), 1.6), 0, 255).astype(np.uint8)
    angle = generator.uniform(0, np.pi / 2)
    for time_s in times_s:
        x, y = (int(look.drift_px * time_s * part) for part in (np.cos(angle), np.sin(angle)))
        yield still[y : y + height, x : x + width].copy()


def sensor_noise(
    width: int, height: int, levels: float, generator: np.random.Generator
) -> Iterator[Callable[[Image], Image]]:
    """Yield functions that add fresh-looking Gaussian noise: pieces of one larger field, at drawn places."""
    import cv2

    field = generator.normal(0, levels, (height + 64, width + 64, 3)).round().astype(np.int16)
    while True:
        y, x = (int(start) for start in generator.integers(0, 64, 2))
        part = np.ascontiguousarray(field[y : y + height, x : x + width])

        def noisy(image: Image, part: NDArray[np.int16] = part) -> Image:
            return np.asarray(cv2.add(image, part, dtype=cv2.CV_8U), dtype=np.uint8)

        yield noisy


def _write_truth(
    path: Path,
    motion: HandMotion,
    joints: Floats,
    vertices: Floats,
    visibility: NDArray[np.bool_],
    camera: Camera,
    times_s: Floats,
    world: Mapping[str, Floats],
) -> None:
    pixels = np.stack(
        [pixels_and_depth(points.reshape(-1, 3), camera.K[0])[:, :2].reshape(*points.shape[:2], 2) for points in joints]
    )
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            **vars(motion),
            joints=joints,
            joint_std_mm=np.zeros(joints.shape[:3]),
            keypoints_px=pixels,
            keypoint_confidence=visibility.astype(float),
            landmarks_px=pixels,
            K=camera.K,
            image_size=np.array([camera.width, camera.height]),
            times_s=times_s,
            schema=np.array(SCHEMA),
            vertices=vertices.astype(np.float32),
            visibility=visibility,
            **world,
        )
    replace_file(partial, path)
