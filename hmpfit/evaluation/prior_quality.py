"""Quality of a motion prior on unseen motion: reconstruction, in-betweening, resampling and samples.

Errors are of 21 wrist-relative joints on the prior's own hand, in millimeters. In-betweening: unknown frames as the
prior completes them ("prior"), and as its latent decodes them ("decoded"), beside SLERP and other priors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.geometry.alignment import similarity_aligned
from hmpfit.hands.joint_limits import LIMITS
from hmpfit.interfaces.prior import MotionPriorLike
from hmpfit.priors.motion_field import features
from hmpfit.records import Floats

GAPS = (5, 15, 30, 60)
TRIALS = 3  # gaps drawn per window and length
RATES = (60.0, 120.0)  # frames per second to decode at
SAMPLES = 64
_EDGE = 5  # visible frames at least on either side of a gap
_SHORTEST = 30  # known frames that make a window worth measuring

Fill = Callable[[Tensor, Tensor], Tensor]  # rotations [T, 15, 3, 3], known [T] -> all frames filled


class MeasuredPrior(MotionPriorLike, Protocol):
    """What is measured of a prior, beyond what the fit needs: every kind that `hmpfit.priors` opens has it."""

    @property
    def frame_times(self) -> Tensor:
        """Times in seconds of a window's own frames."""

    def complete(self, hand_R: Tensor, mask: Tensor) -> Tensor:
        """Return windows with their unknown frames filled."""

    def decode(self, z: Tensor, t: Tensor) -> Tensor:
        """Decode latents at times [T] to 6D rotations [B, T, 15, 6]."""

    def points(self, hand_R: Tensor) -> Tensor:
        """Pose the prior's hand: [..., 15, 3, 3] -> [..., 21, 3] meters from the wrist."""


@dataclass(frozen=True)
class MotionWindow:
    """A window of motion: rotations [T, 15, 3, 3] and which frames are known [T]; `source` groups the figures."""

    name: str
    source: str
    hand_R: Tensor
    known: Tensor


def windows_of(name: str, source: str, hand_pose: Floats, valid: np.ndarray, frames: int) -> list[MotionWindow]:
    """Cut a motion [T, 15, 3] into half-overlapping windows; short ones are padded with unknown frames."""
    found = []
    for start in range(0, max(len(hand_pose) - frames // 2, 1), frames // 2):
        pose, known = np.zeros((frames, 15, 3)), np.zeros(frames, dtype=bool)
        piece = hand_pose[start : start + frames]
        pose[: len(piece)], known[: len(piece)] = np.nan_to_num(piece), valid[start : start + frames]
        if known.sum() > _SHORTEST:
            hand_R = rotations.exp(torch.as_tensor(pose, dtype=torch.float32))
            found.append(MotionWindow(name, source, hand_R, torch.as_tensor(known)))
    return found


@torch.no_grad()
def measure_prior(
    prior: MeasuredPrior,
    windows: Sequence[MotionWindow],
    others: Mapping[str, MeasuredPrior],
    on_window: Callable[[int], None],
) -> dict[str, Any]:
    """Return the figures of a prior on windows, and its gaps beside those of `others`, by name.

    Keys: mpjpe_mm, pa_mpjpe_mm, acceleration_mm_per_frame2, windows, gaps {length: {prior, decoded, slerp, ...,
    ratio_to_slerp}}, sample_violations (share of angles outside the joint limits), files, files_worse_than_slerp (by
    length of gap), and `sources` with the first five per source of windows.
    """
    fills: dict[str, Fill] = {
        "prior": lambda R, known: prior.complete(R[None], known[None])[0],
        "decoded": lambda R, known: _decoded(prior, R, known),
        "slerp": slerp_filled,
        **{name: _completed(other) for name, other in others.items()},
    }
    generators = {gap: np.random.default_rng(gap) for gap in GAPS}
    rows, by_file = [], dict[str, list[_Row]]()
    for window in windows:
        rows.append((window.source, _of_window(prior, window, fills, generators)))
        by_file.setdefault(window.name, []).append(rows[-1][1])
        on_window(1)
    sources = sorted({source for source, _ in rows})
    return {
        **_figures([row for _, row in rows], tuple(fills)),
        "sample_violations": violations(prior),
        "files": sorted(by_file),
        "files_worse_than_slerp": {str(gap): _worse_files(by_file, gap) for gap in GAPS},
        "sources": {name: _figures([row for source, row in rows if source == name], tuple(fills)) for name in sources},
    }


@torch.no_grad()
def rate_errors(prior: MeasuredPrior, poses: Mapping[float, Sequence[Floats]]) -> dict[str, float]:
    """Return the error in mm of decoding at other frame rates, encoded from the prior's own.

    `poses` holds, per rate, motions [T, 15, 3] of one window's length at that rate (a multiple of the prior's).
    """
    out = {}
    for rate, motions in poses.items():
        step, errors = round(rate / prior.fps), []
        for pose in motions:
            hand_R = rotations.exp(torch.as_tensor(np.asarray(pose), dtype=torch.float32))
            coarse = hand_R[::step][: prior.window_frames]
            known = torch.ones(len(coarse), dtype=torch.bool)
            last = (len(coarse) - 1) * step + 1
            times = torch.arange(last, dtype=torch.float32) / rate
            decoded = rotations.from_6d(prior.decode(prior.start(coarse[None], known[None]), times))[0]
            errors.append(_mm(prior.points(decoded).numpy(), prior.points(hand_R[:last]).numpy()))
        out[f"{rate:g}"] = _mean(errors)
    return out


@torch.no_grad()
def violations(prior: MeasuredPrior, seed: int = 0) -> float:
    """Return the share of finger angles outside the joint limits in motion decoded from z ~ N(0, I)."""
    z = torch.randn(SAMPLES, prior.latent_dim, generator=torch.Generator().manual_seed(seed))
    decoded = rotations.log(rotations.from_6d(prior.decode(z, prior.frame_times))).numpy()
    limits = np.asarray(LIMITS)
    outside = (decoded < limits[..., 0]) | (decoded > limits[..., 1])
    return float(outside.mean())


def slerp_filled(hand_R: Tensor, known: Tensor) -> Tensor:
    """Fill the unknown frames of hand_R [T, 15, 3, 3] along geodesics between the known ones, held at the ends."""
    last, following, fraction = features.bracket(known[None])
    first = hand_R[last[0]]
    blended = rotations.slerp(first, hand_R[following[0]], fraction[0, :, None].expand(first.shape[:2]).float())
    return torch.where(known[:, None, None, None], hand_R, blended)


@dataclass(frozen=True)
class _Row:
    """One window's errors, mm; `gaps` per length and way of filling, one number a trial."""

    mpjpe: float
    aligned: float
    acceleration: float
    gaps: dict[int, dict[str, list[float]]]


def _of_window(
    prior: MeasuredPrior, window: MotionWindow, fills: Mapping[str, Fill], generators: Mapping[int, np.random.Generator]
) -> _Row:
    whole = prior.points(window.hand_R)
    found = prior.points(_decoded(prior, window.hand_R, window.known))
    points, truth = (part[window.known].double().numpy() for part in (found, whole))
    gaps: dict[int, dict[str, list[float]]] = {gap: {name: [] for name in fills} for gap in GAPS}
    for gap in GAPS:
        for shown in _gapped(window.known, gap, generators[gap]):
            hidden = window.known & ~shown
            for name, fill in fills.items():
                filled = prior.points(fill(window.hand_R, shown))[hidden]
                gaps[gap][name].append(_mm(filled.double().numpy(), whole[hidden].double().numpy()))
    return _Row(
        _mm(points, truth),
        _mm(similarity_aligned(points, truth), truth),
        _mm(np.diff(points, 2, axis=0), np.diff(truth, 2, axis=0)),
        gaps,
    )


def _figures(rows: Sequence[_Row], names: Sequence[str]) -> dict[str, Any]:
    gaps: dict[str, dict[str, float]] = {}
    for gap in GAPS:
        line = {name: _mean([error for row in rows for error in row.gaps[gap][name]]) for name in names}
        gaps[str(gap)] = {**line, "ratio_to_slerp": line["prior"] / line["slerp"] if line["slerp"] else float("nan")}
    return {
        "mpjpe_mm": _mean([row.mpjpe for row in rows]),
        "pa_mpjpe_mm": _mean([row.aligned for row in rows]),
        "acceleration_mm_per_frame2": _mean([row.acceleration for row in rows]),
        "windows": len(rows),
        "gaps": gaps,
    }


def _worse_files(by_file: Mapping[str, Sequence[_Row]], gap: int) -> list[str]:
    """Return the files in whose gaps of that length the prior is worse than SLERP on average."""

    def error(rows: Sequence[_Row], name: str) -> float:
        return _mean([value for row in rows for value in row.gaps[gap][name]])

    return sorted(file for file, rows in by_file.items() if error(rows, "prior") > error(rows, "slerp"))


def _gapped(known: Tensor, gap: int, generator: np.random.Generator) -> list[Tensor]:
    frames = np.flatnonzero(known.numpy())
    low, high = frames[0] + _EDGE, frames[-1] - gap - _EDGE + 2
    if high <= low:
        return []
    masks = []
    for start in generator.integers(low, high, TRIALS):
        shown = known.clone()
        shown[start : start + gap] = False
        masks.append(shown)
    return masks


def _decoded(prior: MeasuredPrior, hand_R: Tensor, known: Tensor) -> Tensor:
    return rotations.from_6d(prior.decode(prior.start(hand_R[None], known[None]), prior.frame_times))[0]


def _completed(prior: MeasuredPrior) -> Fill:
    return lambda hand_R, known: prior.complete(hand_R[None], known[None])[0]


def _mm(found: Floats, true: Floats) -> float:
    return float(np.linalg.norm(found - true, axis=-1).mean() * 1e3)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
