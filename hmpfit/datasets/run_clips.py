"""Fits of clean real video as labels: `hmpfit train --data runs:DIR` learns from run folders below DIR.

Separate from annotated datasets, because these labels are our own fits: only frames in which all evidence agrees are
taken. Pictures are cut once around each hand and kept in shards in the cache, one folder of shards a run, so that a
training can leave whole clips out.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hmpfit.datasets.shards import INDEX, Shards, write_index, write_shard
from hmpfit.errors import InputError
from hmpfit.files.opening import read_bytes
from hmpfit.files.structured import read_json_table
from hmpfit.geometry.cameras import project_array
from hmpfit.records import DETECTED, Bools, Floats
from hmpfit.regressors import crops
from hmpfit.regressors.samples import HandClip
from hmpfit.results.npz import StoredResult, read_result
from hmpfit.results.summary import read_summary
from hmpfit.video.clip import open_clip

PER_SHARD = 100
VERSION = 3  # of what is stored


@dataclass(frozen=True)
class FrameSelection:
    """Which frames are labels, and how their surroundings are stored."""

    size: int = 320  # of the stored pictures, pixels
    margin: float = 2.4  # of their side, in extents of the joints
    least_confidence: float = 0.1  # mean over a frame's landmarks
    farthest: float = 0.035  # median distance of the fit from its landmarks, in diagonals of the hand's box
    most: int = 330  # frames per hand and clip, evenly picked
    empty: int = 40  # pictures per clip without any hand, to learn what is none


def open_runs(
    folder: Path, cache: Path, choice: FrameSelection = FrameSelection(), on_run: Callable[[int], None] | None = None
) -> list[Shards]:
    """Return the clips of every run folder below `folder` (or of `folder` itself), one source a run, by name.

    `on_run(1)` reports progress. Raises InputError when there is no run, or none with a frame to learn from.
    """
    found = sorted(path.parent for path in (*folder.glob("result.npz"), *folder.glob("*/result.npz")))
    if not found:
        raise InputError(f"'{folder}' holds no run folders; `hmpfit run VIDEO -o {folder}/NAME` makes one.")
    sources = []
    for run in found:
        place = cache / "runs" / f"{run.name}-{_key(run, choice)}"
        if not (place / INDEX).is_file():
            _store(run, place, choice)
        shards = Shards(place) if read_json_table(place / INDEX).get("shards") else None
        if shards is not None:
            shards.name = f"runs:{run.name}"
            sources.append(shards)
        if on_run is not None:
            on_run(1)
    if not sources:
        raise InputError(f"No run below '{folder}' has a frame in which all evidence agrees; nothing to learn from.")
    return sources


def agreeing_frames(result: StoredResult, choice: FrameSelection) -> Bools:
    """Return the frames [H, T] in which the hand was detected, its landmarks are steady, and the fit is on them."""
    away = np.linalg.norm(result.landmarks_px - result.tracks.xy_px, axis=-1)
    diagonal = result.tracks.box_diagonal_px
    steady = result.tracks.confidence.mean(-1) >= choice.least_confidence
    close = np.median(np.where(np.isfinite(away), away, np.inf), axis=-1) < choice.farthest * np.nan_to_num(diagonal)
    return np.asarray((result.motion.status == DETECTED) & steady & close & (result.joints[..., 2] > 0).all(-1))


def _key(run: Path, choice: FrameSelection) -> str:
    content = read_bytes(run / "result.npz") + repr((VERSION, choice)).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def _store(run: Path, place: Path, choice: FrameSelection) -> None:
    place.mkdir(parents=True, exist_ok=True)
    shards: list[tuple[str, int]] = []
    waiting: list[HandClip] = []

    def flush() -> None:
        if waiting:
            name = f"{len(shards):04d}_{len(waiting)}.npz"
            write_shard(place / name, waiting)
            shards.append((name, len(waiting)))
            waiting.clear()

    for clip in _clips(run, choice):
        waiting.append(clip)
        if len(waiting) == PER_SHARD:
            flush()
    flush()
    write_index(place, shards, {"run": run.name})


def _clips(run: Path, choice: FrameSelection) -> Iterator[HandClip]:
    """Yield pairs of consecutive frames, cut around the hand, and single pictures without a hand."""
    about = read_summary(run / "result.json")
    if not about.get("video"):
        raise InputError(f"'{run / 'result.json'}' names no video to learn from; run it anew.")
    result, first = read_result(run), int(about.get("first_frame") or 0)
    frames = len(result.tracks.times_s)
    clip = open_clip(about["video"], (first, first + frames) if first else None, mirrored=bool(about.get("mirrored")))
    if clip.frames != frames:
        raise InputError(
            f"'{about['video']}' has {clip.frames} frames and '{run}' was fitted to {frames}; run it anew."
        )
    good = agreeing_frames(result, choice)
    wanted = np.zeros_like(good)
    for hand, row in enumerate(good):
        known = np.flatnonzero(row & np.roll(row, 1) & (np.arange(frames) > 0))
        wanted[hand, known[np.linspace(0, len(known) - 1, min(choice.most, len(known))).round().astype(int)]] = True
    generator = np.random.default_rng(0)
    empty = set(np.linspace(0, frames - 1, choice.empty).round().astype(int).tolist())
    before: np.ndarray | None = None
    for frame, image in clip.images():
        if before is not None:
            for hand in np.flatnonzero(wanted[:, frame]):
                yield _pair(result, int(hand), frame, before, image, choice)
        if frame in empty:
            yield from _without_hand(result, frame, image, choice, generator)
        before = image


def _pair(
    result: StoredResult, hand: int, frame: int, before: np.ndarray, image: np.ndarray, choice: FrameSelection
) -> HandClip:
    frames = slice(frame - 1, frame + 1)
    K = result.camera.K[min(frame, len(result.camera.K) - 1)]
    joints = result.joints[hand, frames]
    xy = project_array(joints, K, result.camera.distortion)
    crop = crops.around(xy, margin=choice.margin)
    motion = result.motion
    made = _cut(crop, np.stack((before, image)), K, choice.size)
    return replace(
        made,
        is_right=motion.is_right[hand : hand + 1],
        joints_px=((xy - _corner(crop)) * (choice.size / crop.side_px))[None],
        joints_m=joints[None],
        global_orient=motion.global_orient[hand, frames][None],
        hand_pose=motion.hand_pose[hand, frames][None],
        betas=motion.betas[hand][None],
    )


def _without_hand(
    result: StoredResult, frame: int, image: np.ndarray, choice: FrameSelection, generator: np.random.Generator
) -> Iterator[HandClip]:
    """Yield a square away from every known hand of the frame, if a few tries find one."""
    height, width = image.shape[:2]
    seen = result.tracks.seen[:, frame]
    for _ in range(10):
        side = float(generator.uniform(0.15, 0.5) * min(height, width))
        center = generator.uniform((side / 2, side / 2), (width - side / 2, height - side / 2))
        known = (result.landmarks_px[:, frame], result.tracks.xy_px[seen, frame])
        points = np.concatenate([part.reshape(-1, 2) for part in known])
        if (np.abs(points - center).max(-1) > 0.75 * side).all():
            K = result.camera.K[min(frame, len(result.camera.K) - 1)]
            yield _cut(crops.Crop(center, side), np.stack((image, image)), K, choice.size)
            return


def _cut(crop: crops.Crop, images: np.ndarray, K: Floats, size: int) -> HandClip:
    """Return the crop of two pictures as a clip of one right hand of which nothing is known."""
    scale = size / crop.side_px
    inside = np.array([[scale, 0, -scale * _corner(crop)[0]], [0, scale, -scale * _corner(crop)[1]], [0, 0, 1]])
    count = len(images)
    return HandClip(
        images=np.stack([crop.cut(image, size) for image in images]),
        K=inside @ K,
        is_right=np.array([True]),
        joints_px=np.full((1, count, 21, 2), np.nan),
        joints_m=np.full((1, count, 21, 3), np.nan),
        global_orient=np.full((1, count, 3), np.nan),
        hand_pose=np.full((1, count, 15, 3), np.nan),
        betas=np.full((1, 10), np.nan),
    )


def _corner(crop: crops.Crop) -> Floats:
    return np.asarray(crop.center_px - crop.side_px / 2)
