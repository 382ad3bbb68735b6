"""Paste moving occluders over the hands of a clip: `python benchmarks/paste_occluders.py CLIP RUN -o DIR --seed 1`.

Independent of `hmpfit`: it needs OpenCV, PyAV and numpy. RUN is the folder of a run of the clean clip; its keypoints
say where the hands are. DIR gets `clip.mp4` and `covered.npz`: `covered` [H, T, 21], the landmarks that lie under an
occluder, and `kind` [T]. Every occluder crosses one hand in about a second, stays over it for a while and goes on.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.floating]

KINDS = ("textured", "skin", "cup")
_SECONDS = (0.8, 1.6)  # an occluder's way across a hand
_PAUSE_S = (0.5, 1.0)  # between two of them
_BOXES = (0.7, 1.05)  # its size in the diagonal of the hand's box
_SIDE = 256  # pixels of an occluder before it is scaled


@dataclass(frozen=True)
class Pass:
    """One occluder on its way: frames [start, stop), which hand, its picture RGBA, and its path and size."""

    start: int
    stop: int
    hand: int
    kind: str
    sprite: Image  # [S, S, 4]
    size: float  # pixels
    angle: float  # of the path
    turn: float  # of the sprite over the pass, radians
    aside: float  # how far from the hand's middle the path goes by, in sizes

    def place(self, share: float) -> tuple[Floats, float]:
        """Return the offset from the hand's middle in sizes, and the sprite's turn; slow in the middle of its way."""
        along = 1.5 * np.sign(share - 0.5) * abs(2 * share - 1) ** 2
        way = np.array([np.cos(self.angle), np.sin(self.angle)])
        return along * way + self.aside * np.array([-way[1], way[0]]), self.turn * (share - 0.5)


def paste_occluders(
    clip: Path, points: Floats, out: Path, seed: int, kinds: tuple[str, ...], frames: tuple[int, int]
) -> None:
    """Write the occluded stretch of a clip; points [H, T, 21, 2] are the stretch's landmarks, 0 or NaN unknown."""
    generator = np.random.default_rng(seed)
    images, fps = read(clip, frames)
    center, box = paths(points)
    passes = list(plan(images, points, box, float(fps), kinds, generator))
    covered = np.zeros(points.shape[:3], dtype=bool)
    kind = np.full(len(images), "", dtype="U8")
    out.mkdir(parents=True, exist_ok=True)
    occluded = []
    for frame, image in enumerate(images):
        mask = np.zeros(image.shape[:2], dtype=np.float32)
        for one in passes:
            if one.start <= frame < one.stop:
                offset, turn = one.place((frame - one.start) / max(one.stop - one.start - 1, 1))
                middle = center[one.hand, frame] + offset * one.size
                image, alpha = paste(image, one.sprite, middle, one.size, turn)
                mask, kind[frame] = np.maximum(mask, alpha), one.kind
        covered[:, frame] = under(mask, points[:, frame])
        occluded.append(image)
    write(out / "clip.mp4", occluded, fps)
    np.savez_compressed(out / "covered.npz", covered=covered, kind=kind, first_frame=frames[0], seed=seed)


def read(clip: Path, frames: tuple[int, int]) -> tuple[list[Image], Fraction]:
    """Return the RGB frames [a, b) of a video and its frame rate."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        fps = Fraction(stream.average_rate or 30)
        images = []
        for number, frame in enumerate(container.decode(stream)):
            if number >= frames[1]:
                break
            if number >= frames[0]:
                images.append(frame.to_ndarray(format="rgb24"))
    return images, fps


def write(path: Path, images: list[Image], fps: Fraction) -> None:
    """Write RGB frames as H.264 at a quality whose own artefacts do not count."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "14", "preset": "veryfast"})
        stream.height, stream.width = (n - n % 2 for n in images[0].shape[:2])
        stream.pix_fmt = "yuv420p"
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[: stream.height, : stream.width]), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def paths(points: Floats) -> tuple[Floats, Floats]:
    """Return each hand's middle [H, T, 2] and box diagonal [H, T], smooth and bridged where it is unknown."""
    known = np.isfinite(points).all((-1, -2)) & (np.abs(np.nan_to_num(points)).sum((-1, -2)) > 0)
    center, box = points.mean(-2), np.linalg.norm(np.ptp(points, axis=-2), axis=-1)
    frames = np.arange(points.shape[1])
    for h in range(len(points)):
        at = np.flatnonzero(known[h])
        for values in (center[h, :, 0], center[h, :, 1], box[h]):
            bridged = np.interp(frames, at, values[at])
            values[:] = np.convolve(np.pad(bridged, 4, mode="edge"), np.full(9, 1 / 9), mode="valid")
    return center, box


def plan(
    images: list[Image], points: Floats, box: Floats, fps: float, kinds: tuple[str, ...], generator: np.random.Generator
) -> Iterator[Pass]:
    """Yield occluders one after the other, their kinds by turns, each over one of the hands."""
    frame = int(generator.uniform(*_PAUSE_S) * fps)
    number = int(generator.integers(len(kinds)))
    while True:
        stop = frame + int(generator.uniform(*_SECONDS) * fps)
        if stop + int(_PAUSE_S[0] * fps) > len(images):
            return
        hand = int(generator.integers(len(points)))
        kind = kinds[number % len(kinds)]
        middle = (frame + stop) // 2
        sprite = draw(kind, skin_colors(images[middle], points[hand, middle]), generator)
        yield Pass(
            start=frame, stop=stop, hand=hand, kind=kind, sprite=sprite,
            size=generator.uniform(*_BOXES) * float(np.median(box[hand, frame:stop])),
            angle=generator.uniform(0, 2 * np.pi),
            turn=generator.uniform(-1, 1), aside=generator.uniform(-0.15, 0.15),
        )  # fmt: skip
        frame = stop + int(generator.uniform(*_PAUSE_S) * fps)
        number += 1


def skin_colors(image: Image, points: Floats) -> Floats:
    """Return the colors [N, 3] around the palm's landmarks; a common skin color where the hand is unknown."""
    palm = points[[0, 1, 5, 9, 13, 17]]
    inside = np.isfinite(palm).all(-1) & (palm > 2).all(-1) & (palm < np.array(image.shape[1::-1]) - 3).all(-1)
    found = [image[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].reshape(-1, 3) for x, y in palm[inside]]
    return np.concatenate(found).astype(float) if found else np.array([[190.0, 140.0, 115.0]])


def draw(kind: str, skin: Floats, generator: np.random.Generator) -> Image:
    """Draw an occluder RGBA [S, S, 4] of a kind."""
    return {"textured": _textured, "skin": _skin, "cup": _cup}[kind](skin, generator)


def _noise(generator: np.random.Generator, octaves: tuple[int, ...]) -> Floats:
    """Return smooth noise [S, S] of unit spread."""
    total = np.zeros((_SIDE, _SIDE), dtype=np.float32)
    for cells in octaves:
        coarse = generator.normal(size=(cells, cells)).astype(np.float32)
        total += cv2.resize(coarse, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC) / np.sqrt(cells)
    return np.asarray(total / total.std())


def _outline(generator: np.random.Generator) -> Image:
    """Return a round, bulging or angular mask [S, S], 0 or 255."""
    angles = np.sort(generator.uniform(0, 2 * np.pi, int(generator.integers(4, 7))))
    if generator.random() < 0.6:
        angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        radius = 0.78 + 0.15 * np.sin(int(generator.integers(1, 4)) * angles + generator.uniform(0, 6))
    else:
        radius = generator.uniform(0.85, 1.0, len(angles))
    aspect = generator.uniform(0.65, 1.0)
    corners = _SIDE / 2 * (1 + np.stack((radius * np.cos(angles), aspect * radius * np.sin(angles)), axis=1))
    return np.asarray(cv2.fillPoly(np.zeros((_SIDE, _SIDE), np.uint8), [corners.astype(np.int32)], 255))


def _textured(skin: Floats, generator: np.random.Generator) -> Image:
    a, b = generator.uniform(10, 245, (2, 3))
    x, y = np.meshgrid(np.arange(_SIDE), np.arange(_SIDE))
    pattern = int(generator.integers(3))
    if pattern == 0:
        share = (np.tanh(_noise(generator, (6, 14, 40))) + 1) / 2
    elif pattern == 1:
        share = 0.5 + 0.5 * np.sign(np.sin(x * generator.uniform(0.05, 0.3)) * np.sin(y * generator.uniform(0.05, 0.3)))
    else:
        share = 0.5 + 0.5 * np.sin(x * generator.uniform(0.03, 0.2) + y * generator.uniform(-0.2, 0.2))
    color = share[..., None] * a + (1 - share[..., None]) * b
    return _rgba(color, _outline(generator))


def _skin(skin: Floats, generator: np.random.Generator) -> Image:
    """Draw a blob that is colored and shaded like this hand, as another person's arm or hand would be."""
    mean, spread = skin.mean(0), np.clip(skin.std(0), 4, 18)
    color = mean + _noise(generator, (3, 7, 24))[..., None] * spread + _noise(generator, (90,))[..., None] * 3
    mask = _outline(generator)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    shade = 0.72 + 0.28 * np.minimum(inside / (0.18 * _SIDE), 1)
    return _rgba(color * shade[..., None], mask)


def _cup(skin: Floats, generator: np.random.Generator) -> Image:
    """Draw a cup: a tapered body with a cylinder's shading, a rim, and a band on it."""
    top, bottom = 0.44 * _SIDE, generator.uniform(0.26, 0.4) * _SIDE
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE].astype(np.float32)
    down = (rows - 0.12 * _SIDE) / (0.8 * _SIDE)
    half = top + (bottom - top) * np.clip(down, 0, 1)
    across = (columns - _SIDE / 2) / half
    body = ((np.abs(across) < 1) & (down > 0) & (down < 1)).astype(np.uint8) * 255
    color = np.ones((_SIDE, _SIDE, 3)) * generator.uniform(40, 245, 3)
    band = (down > 0.35) & (down < 0.35 + generator.uniform(0.1, 0.3))
    color[band] = generator.uniform(20, 245, 3)
    light = generator.uniform(-0.6, 0.6)
    color *= (0.45 + 0.6 * np.exp(-((across - light) ** 2) / 0.5))[..., None]
    center, axes = (_SIDE // 2, int(0.12 * _SIDE)), (int(top), int(0.09 * _SIDE))
    cv2.ellipse(body, center, axes, 0, 0, 360, 255, -1)
    cv2.ellipse(body, (_SIDE // 2, int(0.92 * _SIDE)), (int(bottom), int(0.06 * _SIDE)), 0, 0, 360, 255, -1)
    color = np.ascontiguousarray(np.clip(color, 0, 255))
    cv2.ellipse(color, center, axes, 0, 0, 360, (45.0, 35.0, 30.0), -1)
    cv2.ellipse(color, center, axes, 0, 0, 360, (225.0, 225.0, 225.0), 3)
    return _rgba(color, body)


def _rgba(color: Floats, mask: Image) -> Image:
    return np.dstack((np.clip(color, 0, 255).astype(np.uint8), mask))


def paste(image: Image, sprite: Image, middle: Floats, size: float, turn: float) -> tuple[Image, NDArray[np.float32]]:
    """Return the image with the sprite on it, and where that is, 0..1 [height, width]."""
    scale = max(size, 4.0) / _SIDE
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.array([[cos, -sin], [sin, cos]])
    matrix = np.concatenate((linear, (middle - linear @ np.full(2, _SIDE / 2))[:, None]), axis=1)
    warped = cv2.warpAffine(sprite, matrix, (image.shape[1], image.shape[0]), flags=cv2.INTER_AREA)
    alpha = cv2.GaussianBlur(warped[..., 3].astype(np.float32) / 255, (0, 0), 0.8)
    mixed = image * (1 - alpha[..., None]) + warped[..., :3] * alpha[..., None]
    return mixed.astype(np.uint8), alpha


def under(mask: NDArray[np.float32], points: Floats) -> NDArray[np.bool_]:
    """Return which points [H, 21, 2] lie under the mask; unknown ones and those outside the image do not."""
    inside = np.isfinite(points).all(-1) & (points > 0).all(-1) & (points < np.array(mask.shape[::-1])).all(-1)
    x, y = np.where(inside[..., None], points, 0).astype(int).transpose(2, 0, 1)
    return np.asarray(inside & (mask[y, x] > 0.5))


def main() -> None:
    """Read the command line and paste occluders over one clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("run", type=Path, help="run folder of the clean clip, all frames of it or just --frames")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--frames", default="0:1000000", help="half-open stretch of the source, A:B")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS))
    chosen = parser.parse_args()
    a, b = (int(n) for n in chosen.frames.split(":"))
    with np.load(chosen.run / "result.npz") as result:
        known = result["keypoint_confidence"] > 0
        points = np.where(known[..., None], result["keypoints_px"], result["landmarks_px"])[:, a:b]
        points = np.where(known.any(-1)[:, a:b, None, None], points, np.nan)
    b = min(b, a + points.shape[1])
    paste_occluders(chosen.clip, points, chosen.out, chosen.seed, tuple(chosen.kinds.split(",")), (a, b))


if __name__ == "__main__":
    main()
