"""Windows of motion for training: crops, time warps, and the masks that teach the encoder in-betweening.

Readers and generators stay outside: this takes arrays of hand poses, wherever they came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmpfit.geometry import rotations

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Clips:
    """Motion at the prior's frame rate: one array [T, 15, 3] of absolute axis-angle per clip, and which frames count.

    `share` is this collection's share of the drawn windows, `warp` the largest change of speed (0.3: 0.7 to 1.3).
    """

    poses: Sequence[Floats]
    valid: Sequence[Bools] | None = None
    wrists: Sequence[Floats] | None = None  # [T, 3] axis-angle of the wrist in the world, for the root's branch
    share: float = 1.0
    warp: float = 0.0


@dataclass(frozen=True)
class Batch:
    """Rotations [B, T, 15, 3, 3], frames that are true motion [B, T] and frames shown to the masked encoder [B, T].

    `root_R` [B, T, 3, 3] is the wrist's rotation in the world, NaN in windows that have none.
    """

    hand_R: Tensor
    valid: Tensor
    shown: Tensor
    root_R: Tensor


def sample_batch(collections: Sequence[Clips], size: int, frames: int, generator: np.random.Generator) -> Batch:
    """Draw a batch of windows of `frames` frames."""
    shares = np.array([clips.share for clips in collections])
    windows, valid = [], []
    for which in generator.choice(len(collections), size, p=shares / shares.sum()):
        pose, good = _window(collections[which], frames, generator)
        windows.append(pose)  # wrist first
        valid.append(good)
    shown = np.stack([good & random_mask(frames, generator) for good in valid])
    shown[~shown.any(1)] = np.stack(valid)[~shown.any(1)]
    turns = torch.as_tensor(np.stack(windows), dtype=torch.float32)
    has_root = torch.isfinite(turns[:, :, 0]).all(-1).all(-1)
    root_R = rotations.exp(torch.where(has_root[:, None, None], turns[:, :, 0], 0.0))
    root_R = torch.where(has_root[:, None, None, None], root_R, torch.nan)
    return Batch(rotations.exp(turns[:, :, 1:]), torch.as_tensor(np.stack(valid)), torch.as_tensor(shown), root_R)


def random_mask(frames: int, generator: np.random.Generator) -> Bools:
    """Draw which frames of a window are known: gaps of 5-60 frames, missing ends, sparse glimpses, or all."""
    known = np.ones(frames, dtype=bool)
    kind = generator.choice(5, p=(0.1, 0.5, 0.15, 0.1, 0.15))
    if kind == 1:
        for _ in range(int(generator.choice((1, 2, 3), p=(0.6, 0.25, 0.15)))):
            length = int(generator.integers(5, 61))
            start = int(generator.integers(1, max(frames - length, 2)))
            known[start : start + length] = False
    elif kind == 2:
        cut = int(generator.integers(5, frames // 2))
        if generator.random() < 0.5:
            known[:cut] = False
        else:
            known[-cut:] = False
    elif kind == 3:
        known = generator.random(frames) < generator.uniform(0.06, 0.4)
    elif kind == 4:
        known = generator.random(frames) < generator.uniform(0.5, 0.95)
        length = int(generator.integers(5, 45))
        start = int(generator.integers(1, frames - length))
        known[start : start + length] = False
    return known


def disturb(hand_R: Tensor, generator: torch.Generator, smooth_deg: float = 5.0, jitter_deg: float = 4.0) -> Tensor:
    """Turn every joint as an initializer errs: a slowly wandering part and per-frame jitter, of random size per window.

    hand_R [B, T, 15, 3, 3] -> the same shape.
    """
    batch, frames = hand_R.shape[:2]
    size = torch.rand(batch, 1, 1, 1, generator=generator).square()
    jitter = torch.randn(batch, frames, 15, 3, generator=generator) * (size * jitter_deg)
    knots = torch.randn(batch, 45, frames // 12 + 2, generator=generator)
    slow = torch.nn.functional.interpolate(knots, size=frames, mode="linear", align_corners=True)
    slow = slow.transpose(1, 2).unflatten(-1, (15, 3)) * (size * smooth_deg)
    return hand_R @ rotations.exp(torch.deg2rad(jitter + slow))


def _window(clips: Clips, frames: int, generator: np.random.Generator) -> tuple[Floats, Bools]:
    """Draw one window and which of its frames are true; a short clip lies anywhere in it."""
    i = int(generator.integers(len(clips.poses)))
    fingers = np.asarray(clips.poses[i])
    wrist = np.full((len(fingers), 3), np.nan) if clips.wrists is None else np.asarray(clips.wrists[i])
    pose = np.concatenate((wrist[:, None], fingers), axis=1)
    good = np.ones(len(pose), dtype=bool) if clips.valid is None else np.asarray(clips.valid[i])
    if clips.warp:
        pose, good = _warped(pose, good, float(np.exp(generator.uniform(-clips.warp, clips.warp))))
    if len(pose) >= frames:
        start = int(generator.integers(len(pose) - frames + 1))
        return pose[start : start + frames], good[start : start + frames]
    start = int(generator.integers(frames - len(pose) + 1))
    window = np.zeros((frames, *pose.shape[1:]), dtype=pose.dtype)
    known = np.zeros(frames, dtype=bool)
    window[start : start + len(pose)], known[start : start + len(pose)] = pose, good
    return window, known


def _warped(pose: Floats, good: Bools, speed: float) -> tuple[Floats, Bools]:
    """Resample a clip at another speed; axis-angle of fingers is far from its cut, so that numbers interpolate."""
    at = np.arange(0, len(pose) - 1, speed)
    low = at.astype(int)
    part = (at - low)[:, None, None]
    between = pose[low] * (1 - part) + pose[low + 1] * part
    if not np.isfinite(pose[:, 0]).any():  # no wrist is known: three quarters of the time saved
        return between, good[low] & good[low + 1]
    first, second = (
        rotations.exp(torch.as_tensor(np.nan_to_num(pose[at_, 0]).astype(np.float64))) for at_ in (low, low + 1)
    )
    wrist = rotations.log(rotations.slerp(first, second, torch.as_tensor(at - low))).numpy()
    between[:, 0] = np.where(np.isfinite(between[:, 0]), wrist, np.nan)
    return between, good[low] & good[low + 1]
