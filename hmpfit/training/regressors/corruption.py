"""Corrupt crops while their labels stay: things before the hand, blur, darkness, few pixels, compression.

Separate from `samples`, which only crops. Everything is drawn in the crop's own coordinates, so one draw covers all
frames of a clip; what covers the hand moves a little between them. Pictures of other clips lend surfaces and hands.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hmpfit.records import Bools, Floats
from hmpfit.skeleton import OPENPOSE_PARENTS

Images = NDArray[np.uint8]
Masks = NDArray[np.float32]  # [F, S, S] 0..1


@dataclass(frozen=True)
class Donor:
    """A picture [S, S, 3] to paste from, with the points [21, 2] (0..1, NaN unknown) of a hand in it."""

    image: Images
    joints: Floats


@dataclass(frozen=True)
class CorruptedImages:
    """Frames [F, S, S, 3] after corruption and which joints [F, 21] something covers."""

    images: Images
    covered: Bools


@dataclass(frozen=True)
class CorruptionOptions:
    """How often what happens; shares are of clips."""

    covered: float = 0.7  # one to three things before the hand
    one_frame: float = 0.2  # of the covered: only the last frame
    blur: float = 0.25
    dark: float = 0.2
    small: float = 0.25
    compressed: float = 0.4


def corrupt(
    images: Images,
    joints: Floats,
    donors: Sequence[Donor],
    generator: np.random.Generator,
    how: CorruptionOptions = CorruptionOptions(),
) -> CorruptedImages:
    """Corrupt the crops [F, S, S, 3] of one clip, joints [F, 21, 2] in 0..1; where these are NaN there is no hand."""
    out, frames, size = images.copy(), len(images), images.shape[1]
    covered = np.zeros((frames, 21), dtype=bool)
    if generator.random() < how.covered:
        first = frames - 1 if generator.random() < how.one_frame else 0
        for _ in range(int(generator.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))):
            surface, masks = _thing(frames, size, joints, donors, generator)
            for frame in range(first, frames):
                mask = masks[frame][..., None]
                out[frame] = (out[frame] * (1 - mask) + surface[frame] * mask).astype(np.uint8)
                covered[frame] |= _inside(masks[frame], joints[frame])
    for share, change in (
        (how.blur, _blurred),
        (how.dark, _darkened),
        (how.small, _shrunk),
        (how.compressed, _compressed),
    ):
        if generator.random() < share:
            out = change(out, generator)
    return CorruptedImages(out, covered)


def _thing(
    frames: int, size: int, joints: Floats, donors: Sequence[Donor], generator: np.random.Generator
) -> tuple[Images, Masks]:
    """Draw something opaque: its surface [F, S, S, 3] and where it is."""
    known = joints[-1][np.isfinite(joints[-1]).all(-1)]
    middle = known[generator.integers(len(known))] if len(known) else generator.uniform(0.2, 0.8, 2)
    middle = middle + generator.normal(0, 0.08, 2)
    moves = np.arange(frames - 1, -1, -1)[:, None] * generator.normal(0, 0.02, 2)
    kind = generator.choice(["blob", "box", "bar", "hand"], p=[0.35, 0.2, 0.2, 0.25])
    lent = donors[int(generator.integers(len(donors)))] if donors else None
    if kind == "hand" and (lent is None or not np.isfinite(lent.joints).all()):
        kind = "blob"
    if kind == "hand":
        assert lent is not None
        return _other_hand(frames, size, middle, moves, lent, generator)
    outline = _outline(str(kind), generator)
    masks = [_filled((middle + move + outline) * size, size) for move in moves]
    return np.repeat(_surface(size, lent, generator)[None], frames, axis=0), np.stack(masks)


def _outline(kind: str, generator: np.random.Generator) -> Floats:
    """Return a closed line [N, 2] about the origin, in crops."""
    turn = generator.uniform(0, 2 * np.pi)
    R = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if kind == "blob":
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        waves = sum(generator.normal(0, 0.25 / n) * np.cos(n * angle + generator.uniform(0, 6.3)) for n in (2, 3, 4))
        radius = generator.uniform(0.07, 0.3) * np.clip(1 + waves, 0.3, 2)
        return np.asarray(
            (np.stack((np.cos(angle), generator.uniform(0.5, 1) * np.sin(angle)), -1) * radius[:, None]) @ R.T
        )
    half = generator.uniform(0.06, 0.28, 2) if kind == "box" else np.array([1.5, generator.uniform(0.03, 0.12)])
    return np.asarray((np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half) @ R.T)


def _surface(size: int, lent: Donor | None, generator: np.random.Generator) -> Images:
    """Return what a thing looks like all over a crop: a lent picture or a color, lit from one side."""
    if lent is not None and generator.random() < 0.5:
        side = int(lent.image.shape[0] * generator.uniform(0.2, 0.7))
        x, y = generator.integers(0, lent.image.shape[0] - side, 2)
        base = cv2.resize(lent.image[y : y + side, x : x + side], (size, size)).astype(np.float32)
        base = base[:: generator.choice([-1, 1]), :: generator.choice([-1, 1])]
    else:
        base = np.full((size, size, 3), generator.uniform(10, 245, 3), dtype=np.float32)
        if generator.random() < 0.4:  # stripes
            along = np.arange(size) * generator.uniform(0.02, 0.3)
            base += generator.uniform(10, 60) * np.sign(np.sin(along))[None, :, None]
    slope = np.linspace(-1, 1, size)[:, None, None] * generator.normal(0, 0.2) + np.linspace(-1, 1, size)[
        :, None
    ] * generator.normal(0, 0.2)
    noise = generator.normal(0, generator.uniform(0, 8), (size, size, 1))
    return np.clip(base * (1 + slope) * generator.uniform(0.6, 1.3) + noise, 0, 255).astype(np.uint8)


def _filled(points: Floats, size: int) -> NDArray[np.float32]:
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], (1.0,), cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(mask, (3, 3), 0), dtype=np.float32)


def _other_hand(
    frames: int, size: int, middle: Floats, moves: Floats, lent: Donor, generator: np.random.Generator
) -> tuple[Images, Masks]:
    """Paste another clip's hand: what lies along its bones and in its palm."""
    scale, side = generator.uniform(0.6, 1.2), lent.image.shape[0]
    points = np.round(lent.joints * side).astype(np.int32)
    mask = np.zeros((side, side), np.float32)
    length = float(np.linalg.norm(points[9] - points[0]))
    cv2.fillPoly(mask, [points[[0, 1, 5, 9, 13, 17]]], (1.0,))
    for child, parent in enumerate(OPENPOSE_PARENTS):
        if parent >= 0:
            thick = max(int(0.22 * length), 2)
            cv2.line(mask, points[parent].tolist(), points[child].tolist(), (1.0,), thick)
    turn, own = generator.uniform(0, 2 * np.pi), lent.joints.mean(0) * side
    A = scale * size / side * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    surface, masks = [], []
    for move in moves:
        matrix = np.concatenate((A, ((middle + move) * size - A @ own)[:, None]), axis=1)
        surface.append(cv2.warpAffine(lent.image, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE))
        masks.append(cv2.warpAffine(mask, matrix, (size, size)))
    return np.stack(surface).astype(np.uint8), np.stack(masks).astype(np.float32)


def _inside(mask: NDArray[np.float32], joints: Floats) -> Bools:
    size = len(mask)
    at = np.nan_to_num(joints * size, nan=-1.0).astype(int)
    within = (at >= 0).all(-1) & (at < size).all(-1)
    at = at.clip(0, size - 1)
    return np.asarray(within & (mask[at[:, 1], at[:, 0]] > 0.5))


def _blurred(images: Images, generator: np.random.Generator) -> Images:
    if generator.random() < 0.5:
        sigma = float(generator.uniform(1, 4))
        return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images]).astype(np.uint8)
    length, angle = int(generator.integers(5, 25)), generator.uniform(0, np.pi)
    kernel = np.zeros((length, length), np.float32)
    ends = [
        np.round(length / 2 + s * length / 2 * np.array([np.cos(angle), np.sin(angle)])).astype(int) for s in (-1, 1)
    ]
    cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), (1.0,))
    kernel /= max(float(kernel.sum()), 1.0)
    return np.stack([cv2.filter2D(image, -1, kernel) for image in images]).astype(np.uint8)


def _darkened(images: Images, generator: np.random.Generator) -> Images:
    gain, noise = generator.uniform(0.08, 0.6), generator.uniform(1, 8)
    return np.clip(images * gain + generator.normal(0, noise, images.shape), 0, 255).astype(np.uint8)


def _shrunk(images: Images, generator: np.random.Generator) -> Images:
    size, small = images.shape[1], int(generator.uniform(20, 90))
    return np.stack(
        [cv2.resize(cv2.resize(i, (small, small), interpolation=cv2.INTER_AREA), (size, size)) for i in images]
    ).astype(np.uint8)


def _compressed(images: Images, generator: np.random.Generator) -> Images:
    quality = int(generator.integers(5, 45))

    def one(image: Images) -> Images:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)

    return np.stack([one(image) for image in images])
