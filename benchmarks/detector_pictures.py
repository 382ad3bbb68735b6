"""Pictures that `train_hand_detector.py` learns from, and where the hands are in them.

Three kinds: frames of real clips in which MediaPipe's tracks or 3D truth say where the hands are, moved, turned and
scaled, with things pasted over the hands while the label stays; rendered hands around objects before pictures without
hands; and pictures and parts of frames without hands. Objects lie behind some fingers, as held ones do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from cover_samples import landmarks_of_truth
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.keypoints.hand_detector import HandDetector
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.mediapipe import MediaPipeOptions, find_tracks
from hmpfit.keypoints.palm_detector import INPUT
from hmpfit.synthesis import crops, occluders
from hmpfit.synthesis.clips import Arm, skin_colors
from hmpfit.synthesis.renderer import Drawing, render
from hmpfit.synthesis.shading import Light, Mesh
from hmpfit.synthesis.staging import sample_appearance
from hmpfit.video.clip import open_clip

Image = NDArray[np.uint8]
Floats = NDArray[np.floating]
Label = tuple[Floats, int]  # center, width, height (shares of the picture), right, direction, visible; 1, or -1: ignore

CANVAS = 2 * INPUT  # pictures are drawn at twice the size
SPRITE = 256
LEAST_VISIBLE, LEAST_INSIDE = 0.3, 0.5  # shares of the landmarks from which a hand must be found
SIZES, SMALL = (0.08, 0.75), (0.06, 0.25)  # of hands, shares of the picture
TAKES = 60  # of finger motion
UNSURE = 0.15  # score of an earlier detector above which what matches no known hand is neither hand nor background
FINGERS = tuple(tuple(range(first, first + 4)) for first in range(1, 21, 4))


@dataclass(frozen=True)
class Frame:
    """A frame with its hands: landmarks [21, 2], side, and whether they are known there or bridged."""

    image: Image
    hands: list[tuple[Floats, bool, bool]]


def frames_of_clip(video: Path, most: int) -> list[Frame]:
    clip = open_clip(video)
    tracks = find_tracks(clip, load_landmarker(), MediaPipeOptions(workers=1))
    return _frames(video, tracks.xy_px, tracks.seen, tracks.is_right, most)


def frames_of_truth(file: Path, most: int) -> list[Frame]:
    points, is_right = landmarks_of_truth(file)
    name = file.name.partition(".")[0]
    video = next(one for one in file.parent.glob(f"{name}.*") if one.suffix in (".mp4", ".avi"))
    return _frames(video, points, np.isfinite(points).all((-1, -2)), is_right, most)


def _frames(
    video: Path, points: Floats, seen: NDArray[np.bool_], is_right: NDArray[np.bool_], most: int
) -> list[Frame]:
    clip = open_clip(video)
    count = min(points.shape[1], clip.frames)
    bridged, times = points.copy(), np.arange(points.shape[1])
    for hand in np.flatnonzero(seen.any(1)):
        known = np.flatnonzero(seen[hand])
        for place in np.ndindex(21, 2):
            bridged[(hand, slice(None), *place)] = np.interp(times, known, points[(hand, known, *place)])
    usable = np.flatnonzero(seen[:, :count].any(0))
    chosen = set(usable[np.linspace(0, len(usable) - 1, min(most, len(usable))).round().astype(int)].tolist())
    rows = np.flatnonzero(seen.any(1))
    earlier = HandDetector(load_landmarker().palm, UNSURE, 6)
    out = []
    for frame, image in clip.images():
        if frame in chosen:
            hands = [(bridged[h, frame], bool(is_right[h]), bool(seen[h, frame])) for h in rows]
            out.append(Frame(image.copy(), hands + _unlabeled(earlier(image).xyxy_px, hands)))
    return out


def _unlabeled(boxes: Floats, hands: Sequence[tuple[Floats, bool, bool]]) -> list[tuple[Floats, bool, bool]]:
    """Return boxes [N, 4] that lie on no known hand as unsure hands: the tracks miss hands, above all those sought."""
    out = []
    for box in boxes:
        center, size = (box[:2] + box[2:]) / 2, np.linalg.norm(box[2:] - box[:2])
        if all(np.linalg.norm(xy.mean(0) - center) > 0.5 * size for xy, _, _ in hands):
            out.append((np.linspace(box[:2], box[2:], 21), False, False))
    return out


def read_backgrounds(folder: Path) -> list[Image]:
    """Return all pictures below a folder, none of which shows a hand."""
    out = []
    for path in sorted(folder.rglob("*")):
        image = cv2.imread(str(path)) if path.suffix.lower() in (".jpg", ".jpeg", ".png") else None
        if image is not None and min(image.shape[:2]) >= 150:
            scale = min(1.0, 1000 / max(image.shape))
            out.append(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[..., ::-1].copy())
    return out


def window(image: Image, g: np.random.Generator, size: int = CANVAS, least: float = 0.35) -> Image:
    height, width = image.shape[:2]
    side = int(min(height, width) * g.uniform(least, 1))
    y, x = g.integers(0, height - side + 1), g.integers(0, width - side + 1)
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    cut = cv2.resize(image[y : y + side, x : x + side], (size, size), interpolation=how)
    return cut[:, ::-1].copy() if g.random() < 0.5 else cut


def real_picture(
    frames: Sequence[Frame], bank: Sequence[Image], g: np.random.Generator, pixels: int = INPUT, small: float = 0.0
) -> tuple[Image, list[Label]]:
    """Draw a picture of a clip's hands; the share `small` of pictures shows them smaller than the others."""
    frame = frames[g.integers(len(frames))]
    flip = g.random() < 0.5
    height, width = frame.image.shape[:2]
    known = [hand for hand in frame.hands if hand[2]]
    points = known[g.integers(len(known))][0]
    side = min(np.ptp(points, axis=0).max() / _size(g, small), 1.5 * max(height, width))
    turn = g.normal(0, 0.3) if g.random() < 0.8 else g.uniform(-np.pi, np.pi)
    A = (CANVAS / side) * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    A = A @ np.diag([-1.0 if flip else 1.0, 1.0])
    shift = g.uniform(0.15, 0.85, 2) * CANVAS - A @ points.mean(0)
    picture = _warped(frame.image, A, shift, side)
    if g.random() < 0.5:
        inside = cv2.warpAffine(np.ones((height, width), np.float32), np.c_[A, shift], (CANVAS, CANVAS))[..., None]
        picture = picture * inside + window(bank[g.integers(len(bank))], g) * (1 - inside)
    hands = [(xy @ A.T + shift, right != flip, sure) for xy, right, sure in frame.hands]
    over = np.zeros((CANVAS, CANVAS), np.float32)
    for xy, _, sure in hands:
        if sure and g.random() < 0.75:
            for _ in range(1 + int(g.random() < 0.15)):
                picture, alpha = hold(picture, xy, bank, g)
                over = np.maximum(over, alpha)
    if g.random() < 0.3:  # something elsewhere
        place = g.uniform(-1, 1, (21, 2)) * g.uniform(20, 120) + g.uniform(0, CANVAS, 2)
        picture, alpha = hold(picture, place, bank, g)
        over = np.maximum(over, alpha)
    labels = []
    for xy, right, sure in hands:
        inside, at = _inside(xy)
        if inside.any():
            covered = np.ones(21, bool)
            covered[inside] = over[at[inside, 1], at[inside, 0]] > 0.5
            labels.append(_label(xy, right, 1 - covered.mean(), sure))
    return finish(picture, g, pixels), labels


def empty_picture(
    sources: Sequence[Sequence[Frame]], bank: Sequence[Image], g: np.random.Generator, pixels: int = INPUT
) -> tuple[Image, list[Label]]:
    picture = window(bank[g.integers(len(bank))], g).astype(np.float32)
    if g.random() < 0.5:
        for _ in range(20):
            frames = sources[g.integers(len(sources))]
            part = _without_hands(frames[g.integers(len(frames))], g)
            if part is not None:
                picture = part[:, ::-1].copy() if g.random() < 0.5 else part
                break
    for _ in range(int(g.integers(0, 3))):
        place = g.uniform(-1, 1, (21, 2)) * g.uniform(20, 150) + g.uniform(0, CANVAS, 2)
        picture = hold(picture, place, bank, g)[0]
    return finish(picture, g, pixels), []


def _without_hands(frame: Frame, g: np.random.Generator) -> Floats | None:
    height, width = frame.image.shape[:2]
    side = int(min(height, width) * np.exp(g.uniform(np.log(0.15), 0)))
    low = np.array([g.integers(0, width - side + 1), g.integers(0, height - side + 1)])
    for xy, _, _ in frame.hands:
        margin = 0.1 * np.ptp(xy, axis=0)
        if (xy.max(0) + margin > low).all() and (xy.min(0) - margin < low + side).all():
            return None
    how = cv2.INTER_AREA if side > CANVAS else cv2.INTER_LINEAR
    part = frame.image[low[1] : low[1] + side, low[0] : low[0] + side]
    return cv2.resize(part, (CANVAS, CANVAS), interpolation=how).astype(np.float32)


class RenderedHands:
    """Hands of any turn, most around a ball, a box or a can.

    Of more variety for training: so many takes of finger motion, the share `small` of hands smaller than the others,
    and things of several colors with `colored`.
    """

    def __init__(self, seed: int, takes: int = TAKES, small: float = 0.0, colored: bool = False) -> None:
        self._models, self._seed, self._takes = load_hand_models("open"), seed, dict[int, Any]()
        self._count, self._small, self._colored = takes, small, colored
        self._close = crops.CloseUpOptions(size=CANVAS, anywhere=0.7)

    def __call__(self, bank: Sequence[Image], g: np.random.Generator, pixels: int = INPUT) -> tuple[Image, list[Label]]:
        joints, right, K, hand, things, light = self._staged(g)
        alone, drawn = (render(meshes, K, CANVAS, CANVAS, light, depth=True) for meshes in (hand, [*hand, *things]))
        picture = window(bank[g.integers(len(bank))], g).copy()
        drawn.over(picture)
        xy = joints @ K.T
        xy = xy[:, :2] / xy[:, 2:]
        inside, at = _inside(xy)
        before, after = (_whole_depth(one)[at[inside, 1], at[inside, 0]] for one in (alone, drawn))
        visible = np.zeros(21, bool)
        visible[inside] = after >= before - 0.002
        out = picture.astype(np.float32)
        if g.random() < 0.25:
            out, alpha = hold(out, xy, bank, g)
            visible[inside] &= alpha[at[inside, 1], at[inside, 0]] <= 0.5
        return finish(out, g, pixels), [_label(xy, right, visible.mean(), True)]

    def things_only(
        self, bank: Sequence[Image], g: np.random.Generator, pixels: int = INPUT
    ) -> tuple[Image, list[Label]]:
        """Draw up to three held things, without the hands that hold them."""
        picture = window(bank[g.integers(len(bank))], g).copy()
        for _ in range(int(g.integers(1, 4))):
            joints, _, K, _, _, light = self._staged(g)
            render([_held(joints, g, self._colored)], K, CANVAS, CANVAS, light).over(picture)
        return finish(picture.astype(np.float32), g, pixels), []

    def _staged(self, g: np.random.Generator) -> tuple[Floats, bool, Floats, list[Mesh], list[Mesh], Light]:
        """Draw a hand with its arm and what it holds: joints [21, 3], side, camera, meshes of both, and the light."""
        take = int(g.integers(self._count))
        if take not in self._takes:
            self._takes[take] = crops._take(self._close, self._seed + take, take)
        start = int(g.integers(len(self._takes[take][0]) - 2))
        right = bool(g.random() < 0.5)
        poses = [pose[start : start + 2] for pose in self._takes[take]]
        posed = pose_hands(self._models, crops._staged(poses, [right], self._models, self._close, g), vertices=True)
        assert posed.vertices is not None
        joints, look, model = posed.joints[0, 0], sample_appearance(g), self._models.side(right)
        arm = Arm.of(model, right, skin_colors(model, look.skin, g))
        K, hand = _camera(joints, _size(g, self._small), g), arm.meshes(posed.vertices[0, 0])
        things = [_held(joints, g, self._colored)] if g.random() < 0.85 else []
        return joints, right, K, hand, things, look.light


def _held(joints: Floats, g: np.random.Generator, colored: bool = False) -> Mesh:
    wrist, index, middle, pinky = joints[[0, 5, 9, 17]]
    along, across = (v / np.linalg.norm(v) for v in (middle - wrist, index - pinky))
    out = np.cross(along, across)
    out /= np.linalg.norm(out)
    side = np.sign(out @ (joints[[8, 12, 16]].mean(0) - middle)) or 1.0
    kind, radius = int(g.integers(4)), g.uniform(0.012, 0.045)
    if kind == 0:
        vertices, faces = occluders.ball(radius)
    elif kind == 1:
        vertices, faces = occluders.box(radius * np.array([g.uniform(0.5, 1), g.uniform(1, 4), g.uniform(0.5, 1)]))
    else:
        vertices, faces = occluders.ball(1.0, 8, 20)
        vertices = _can(vertices[:, [0, 2, 1]], radius, g.uniform(0.03, 0.12))
    axes = np.stack((along, across, out), axis=1) @ Rotation.from_rotvec(g.normal(0, 0.35, 3)).as_matrix()
    center = middle - 0.2 * (middle - wrist) * g.uniform(0, 1) + g.normal(0, 0.008, 3)
    center = center + side * out * (radius + g.uniform(0.004, 0.02))
    colors = g.uniform(0.02, 0.98, 3)
    if colored and g.random() < 0.6:  # bands or spots along any axis
        wave = np.sin(vertices @ g.normal(0, 1, (3, 2)) * np.exp(g.uniform(3.5, 6)) + g.uniform(0, 6, 2)).sum(1)
        colors = np.where((wave > g.uniform(-1, 1))[:, None], colors, g.uniform(0.02, 0.98, 3))
    return Mesh(vertices @ axes.T + center, faces, colors)


def _can(ball: Floats, radius: float, half: float) -> Floats:
    away = np.hypot(ball[:, 0], ball[:, 2])
    wide = np.where(away > 1e-6, np.minimum(1, away * 3) / np.maximum(away, 1e-6), 0)
    return np.stack((ball[:, 0] * wide * radius, np.clip(ball[:, 1] * 3, -1, 1) * half, ball[:, 2] * wide * radius), 1)


def _camera(joints: Floats, size: float, g: np.random.Generator) -> Floats:
    xy = joints[:, :2] / joints[:, 2:]
    focal, place = size * CANVAS / np.ptp(xy, axis=0).max(), g.uniform(0.15, 0.85, 2) * CANVAS
    K = np.diag([focal, focal, 1.0])
    K[:2, 2] = place - focal * xy.mean(0)
    return K


def _whole_depth(drawing: Drawing) -> Floats:
    full = np.full((CANVAS, CANVAS), np.inf, np.float32)
    height, width = drawing.coverage.shape
    full[drawing.y : drawing.y + height, drawing.x : drawing.x + width] = drawing.depth_m
    return full


def hold(
    picture: Floats, points: Floats, bank: Sequence[Image], g: np.random.Generator
) -> tuple[Floats, NDArray[np.float32]]:
    """Paste a thing over the hand [21, 2], behind some of its fingers; return the picture and where the thing is."""
    surface, alpha = _thing(bank, g)
    extent, up = np.ptp(points, axis=0).max(), points[9] - points[0]
    width = extent * np.exp(g.uniform(np.log(0.2), np.log(1.0)))
    length = width * g.uniform(0.8, 3.5)
    turn = np.arctan2(up[1], up[0]) + g.normal(0, 0.4) if g.random() < 0.6 else g.uniform(0, 2 * np.pi)
    middle = points[[0, 5, 9, 17]].mean(0) + 0.21 * g.normal(size=2) * extent + up * g.uniform(0, 0.8)
    A = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([width, length]) / SPRITE
    M = np.c_[A, middle - A @ np.full(2, SPRITE / 2)]
    size = picture.shape[1::-1]
    alpha = cv2.warpAffine(alpha, M, size)
    surface = cv2.warpAffine(surface, M, size, borderMode=cv2.BORDER_REPLICATE)
    if g.random() < 0.6:
        fingers, thick = np.zeros(picture.shape[:2], np.float32), max(int(0.2 * np.linalg.norm(up)), 2)
        for finger in g.choice(5, size=g.integers(1, 5), replace=False):
            part = FINGERS[finger] if g.random() < 0.6 else FINGERS[finger][1:]
            cv2.polylines(fingers, [points[list(part)].round().astype(np.int32)], False, (1.0,), thick)
        alpha = alpha * (1 - cv2.GaussianBlur(fingers, (0, 0), max(thick / 12, 0.6)))
    alpha = cv2.GaussianBlur(alpha, (0, 0), g.uniform(0.5, 1.2))
    return picture * (1 - alpha[..., None]) + surface * alpha[..., None], alpha


def _thing(bank: Sequence[Image], g: np.random.Generator) -> tuple[Floats, NDArray[np.float32]]:
    surface = _surface(bank, g)
    y, x = np.mgrid[-1 : 1 : SPRITE * 1j, -1 : 1 : SPRITE * 1j]
    alpha, kind = np.ones((SPRITE, SPRITE), np.float32), int(g.integers(4))
    if kind == 0:  # a cylinder
        shade = np.sqrt(np.clip(1 - 0.8 * (x - g.uniform(-0.3, 0.3)) ** 2, 0.05, 1))
        alpha[np.abs(y) > 1 - 0.06 * np.sqrt(np.clip(1 - x * x, 0, 1))] = 0
    elif kind == 1:  # a ball
        alpha[np.hypot(x, y) >= 1] = 0
        shade = 0.45 + 0.6 * np.clip(1 - ((x + 0.3) ** 2 + (y + 0.4) ** 2), 0, 1)
    elif kind == 2:  # two faces of a box
        shade = np.where(x < g.uniform(-0.6, 0.6), 1.0, g.uniform(0.5, 0.85))
    else:
        angle = np.sort(g.uniform(0, 2 * np.pi, int(g.integers(3, 8))))
        corners = np.stack((np.cos(angle), np.sin(angle)), 1) * g.uniform(0.6, 1, (len(angle), 1))
        alpha = cv2.fillPoly(np.zeros_like(alpha), [((corners + 1) * SPRITE / 2).astype(np.int32)], (1.0,))
        shade = 1 + 0.3 * g.normal() * x + 0.3 * g.normal() * y
    return np.clip(surface * shade[..., None].astype(np.float32), 0, 255), alpha


def _surface(bank: Sequence[Image], g: np.random.Generator) -> Floats:
    kind = int(g.integers(4))
    if kind <= 1:
        surface = window(bank[g.integers(len(bank))], g, SPRITE, 0.15).astype(np.float32)
        if g.random() < 0.4:
            surface = surface.mean(-1, keepdims=True) * g.uniform(0.2, 1.3, 3)
    else:
        surface = np.ones((SPRITE, SPRITE, 3), np.float32) * g.uniform(5, 250, 3)
        for _ in range(int(g.integers(1, 5)) if kind == 3 else 0):  # stripes
            first, last = np.sort(g.integers(0, SPRITE, 2))
            surface[first:last] = g.uniform(0, 255, 3)
    return (surface * g.uniform(0.6, 1.2)).astype(np.float32)


def finish(picture: Floats, g: np.random.Generator, side: int = INPUT) -> Image:
    """Blur, light, noise, compression, at the size of the network's input or another."""
    out, drawn = picture.astype(np.float32), g.random()
    if drawn < 0.12:
        out = cv2.GaussianBlur(out, (0, 0), g.uniform(0.5, 2.5))
    elif drawn < 0.25:
        length, angle = int(g.integers(3, 16)), g.uniform(0, np.pi)
        kernel, half = np.zeros((length, length), np.float32), (length - 1) / 2
        ends = np.round(half + np.outer((-half, half), (np.cos(angle), np.sin(angle)))).astype(int).tolist()
        cv2.line(kernel, ends[0], ends[1], (1.0,))
        out = cv2.filter2D(out, -1, kernel / kernel.sum())
    out = cv2.resize(out, (side, side), interpolation=cv2.INTER_AREA)
    out = 255 * np.clip(out / 255, 0, 1) ** np.exp(g.normal(0, 0.25))
    out = out * g.uniform(0.5, 1.35) * (1 + g.normal(0, 0.08, 3)) + g.normal(0, 8)
    if g.random() < 0.15:
        out = np.repeat(out.mean(-1, keepdims=True), 3, -1)
    image = np.clip(out + g.normal(0, g.uniform(0, 5), out.shape), 0, 255).astype(np.uint8)
    if g.random() < 0.3:
        image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(g.integers(15, 70))])[1], 1)
    return image


def _size(g: np.random.Generator, small: float = 0.0) -> float:
    sizes = SMALL if small and g.random() < small else SIZES
    return float(np.exp(g.uniform(*np.log(sizes))))


def _warped(image: Image, A: Floats, shift: Floats, side: float) -> Floats:
    if side < 2 * CANVAS:
        how = cv2.INTER_AREA if side > CANVAS else cv2.INTER_LINEAR
        return cv2.warpAffine(image, np.c_[A, shift], (CANVAS, CANVAS), flags=how).astype(np.float32)
    twice = cv2.warpAffine(image, 2 * np.c_[A, shift], (2 * CANVAS, 2 * CANVAS))
    return cv2.resize(twice, (CANVAS, CANVAS), interpolation=cv2.INTER_AREA).astype(np.float32)


def _inside(points: Floats) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    at = points.round().astype(int)
    return (at >= 0).all(1) & (at < CANVAS).all(1), at


def _label(points: Floats, right: bool, visible: float, sure: bool) -> Label:
    low, high = (np.clip(limit, 0, CANVAS) for limit in (points.min(0), points.max(0)))
    up = points[9] - points[0]
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    row = np.array([*((low + high) / 2 / CANVAS), *((high - low) / CANVAS), float(right), *up, visible], np.float32)
    good = sure and visible >= LEAST_VISIBLE and _inside(points)[0].mean() >= LEAST_INSIDE
    return row, 1 if good else -1
